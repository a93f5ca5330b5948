package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"

	pb "nervio/workerpb"
)

// remembered is how many attempts that have ended are known, so that a message that comes twice is not worked on twice.
const remembered = 10_000

// assignment is an attempt as the master sends it. Pointers tell what is missing from what is empty.
type assignment struct {
	TenantID   *string         `json:"tenant_id"`
	TaskID     *string         `json:"task_id"`
	Token      *int64          `json:"token"`
	Kind       *string         `json:"kind"`
	Model      string          `json:"model"`
	Payload    json.RawMessage `json:"payload"`
	Attempt    int             `json:"attempt"`
	Size       int64           `json:"size"`
	DeadlineAt *time.Time      `json:"deadline_at"`
}

// entry is an attempt on the desk.
type entry struct {
	job        *Job
	cancel     context.CancelFunc
	isReported bool
}

// desk has what this worker holds: attempts that wait, that are worked on, and that wait for their verdict.
type desk struct {
	kinds   map[string]Handler
	slots   int
	credit  int
	results *results
	logger  Logger
	// changed is told that the desk may have become idle, busy or empty.
	changed func()

	mu         sync.Mutex
	held       map[attemptKey]*entry
	waiting    []*entry
	working    map[attemptKey]*entry
	running    int
	ended      map[attemptKey]struct{}
	endedOrder []attemptKey
	isDraining bool
	empty      chan struct{}
}

func newDesk(kinds map[string]Handler, slots, credit int, results *results, logger Logger, changed func()) *desk {
	return &desk{
		kinds: kinds, slots: slots, credit: credit, results: results, logger: logger, changed: changed,
		held: map[attemptKey]*entry{}, working: map[attemptKey]*entry{}, ended: map[attemptKey]struct{}{},
	}
}

// take accepts an attempt. The error says which part of the contract it does not keep.
func (d *desk) take(raw json.RawMessage) error {
	var given assignment
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	switch {
	case given.TenantID == nil || given.TaskID == nil || given.Token == nil:
		return errors.New("tenant_id, task_id and token are wanted")
	case given.Kind == nil || given.Payload == nil:
		return errors.New("kind and payload are wanted")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.changed()
	key := attemptKey{*given.TenantID, *given.TaskID, *given.Token}
	if _, isEnded := d.ended[key]; isEnded || d.held[key] != nil {
		return nil // the same message twice: it is done once
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &entry{cancel: cancel, job: &Job{
		TenantID: key.tenantID, TaskID: key.taskID, Token: key.token,
		Kind: *given.Kind, Model: given.Model, Payload: given.Payload, Attempt: given.Attempt, Size: given.Size,
		ctx: ctx, show: d.results.show,
	}}
	if given.DeadlineAt != nil {
		one.job.DeadlineAt = *given.DeadlineAt
	}
	isTooMuch := len(d.waiting)+len(d.working) >= d.credit
	d.held[key] = one
	switch {
	case isTooMuch || d.isDraining:
		d.report(one, &pb.Report{Ending: pb.Ending_ENDING_HANDED_BACK})
	case d.kinds[one.job.Kind] == nil:
		mine := strings.Join(d.kindNames(), ", ")
		message := fmt.Sprintf("This worker does not do %q; it does %s.", one.job.Kind, mine)
		d.report(one, &pb.Report{Ending: pb.Ending_ENDING_FAILED, Error: message})
	default:
		d.waiting = append(d.waiting, one)
		d.startSome()
	}
	return nil
}

// forget cancels an attempt that nobody wants any more: nothing is reported of it.
func (d *desk) forget(key attemptKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.held[key]
	if one == nil {
		return
	}
	d.let(key)
	d.results.forget(key)
	one.cancel()
	for i, waits := range d.waiting {
		if waits == one {
			d.waiting = append(d.waiting[:i], d.waiting[i+1:]...)
			break
		}
	}
	delete(d.working, key)
	d.changed()
}

// settle lets go of an attempt of which the master has said what became of it.
func (d *desk) settle(key attemptKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[key] != nil {
		d.let(key)
		d.changed()
	}
}

// drain takes nothing more.
func (d *desk) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isDraining = true
}

// handBackWaiting gives back what was not begun.
func (d *desk) handBackWaiting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.waiting {
		d.report(one, &pb.Report{Ending: pb.Ending_ENDING_HANDED_BACK})
	}
	d.waiting = nil
	d.changed()
}

// handBackRest gives back what is being worked on, and tells its handlers to stop.
func (d *desk) handBackRest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, one := range d.working {
		one.cancel()
		d.report(one, &pb.Report{Ending: pb.Ending_ENDING_HANDED_BACK})
		delete(d.working, key)
	}
}

// emptied is closed once nothing is held any more.
func (d *desk) emptied() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.empty == nil {
		d.empty = make(chan struct{})
	}
	empty := d.empty
	d.lookEmpty()
	return empty
}

// standing tells what is held without a verdict, and how much of it is not finished.
func (d *desk) standing() (holding []attemptKey, unfinished int, isDraining bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.held {
		holding = append(holding, key)
	}
	return holding, len(d.waiting) + len(d.working), d.isDraining
}

func (d *desk) kindNames() []string {
	names := make([]string, 0, len(d.kinds))
	for name := range d.kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// From here on the caller has the lock.

func (d *desk) let(key attemptKey) {
	delete(d.held, key)
	d.ended[key] = struct{}{}
	d.endedOrder = append(d.endedOrder, key)
	if len(d.endedOrder) > remembered {
		delete(d.ended, d.endedOrder[0])
		d.endedOrder = d.endedOrder[1:]
	}
	d.lookEmpty()
}

func (d *desk) lookEmpty() {
	if d.empty != nil && len(d.held) == 0 {
		close(d.empty)
		d.empty = nil
	}
}

func (d *desk) startSome() {
	for len(d.waiting) > 0 && d.running < d.slots {
		one := d.waiting[0]
		d.waiting = d.waiting[1:]
		d.working[one.job.key()] = one
		d.running++
		go d.work(one)
	}
}

func (d *desk) report(one *entry, report *pb.Report) {
	one.isReported = true
	job := one.job
	report.TenantId, report.TaskId, report.Token = job.TenantID, job.TaskID, job.Token
	d.results.report(report)
}

// work runs one attempt, without the lock. A handler that does not look at its context keeps its slot until it returns.
func (d *desk) work(one *entry) {
	began := time.Now()
	report := d.do(one.job)
	report.Seconds = time.Since(began).Seconds()
	d.mu.Lock()
	defer d.mu.Unlock()
	key := one.job.key()
	if d.working[key] == one {
		delete(d.working, key)
	}
	if d.held[key] == one && !one.isReported {
		d.report(one, report)
	}
	one.cancel()
	d.running--
	d.startSome()
	d.changed()
}

func (d *desk) do(job *Job) (report *pb.Report) {
	defer func() {
		if bug := recover(); bug != nil {
			d.logger.Printf("a task of kind %s crashed: %v\n%s", job.Kind, bug, debug.Stack())
			report = &pb.Report{Ending: pb.Ending_ENDING_FAILED, Error: fmt.Sprintf("panic: %v", bug)}
		}
	}()
	came, err := d.kinds[job.Kind](job.ctx, job)
	if err != nil {
		return failure(err)
	}
	answer, isAnswer := came.(Answer)
	if !isAnswer {
		answer = Answer{Result: came}
	}
	result, err := json.Marshal(answer.Result)
	if err != nil {
		return unsayable(err)
	}
	report = &pb.Report{Ending: pb.Ending_ENDING_DONE, Result: string(result)}
	if answer.Usage != nil {
		usage, err := json.Marshal(answer.Usage)
		if err != nil {
			return unsayable(err)
		}
		report.Usage = string(usage)
	}
	return report
}

func unsayable(err error) *pb.Report {
	return failure(&TaskFailed{Message: "The result is nothing that JSON can say: " + err.Error(), Hopeless: true})
}

func failure(err error) *pb.Report {
	report := &pb.Report{Ending: pb.Ending_ENDING_FAILED, Error: err.Error()}
	if report.Error == "" {
		report.Error = "failed"
	}
	var failed *TaskFailed
	if errors.As(err, &failed) {
		report.Hopeless, report.RetryAfterSeconds = failed.Hopeless, failed.RetryAfter.Seconds()
	}
	return report
}
