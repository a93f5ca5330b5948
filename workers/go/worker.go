// Package worker is a worker for Nervio's fleet, in Go: a function and a kind of task.
//
//	func main() {
//		worker.Main(map[string]worker.Handler{
//			"chat": func(ctx context.Context, job *worker.Job) (any, error) {
//				job.Emit("Hel")
//				return map[string]string{"text": "Hello"}, nil
//			},
//		})
//	}
//
// It registers whichever starts first, holds no more tasks than it said, keeps each result until the master has said
// what became of it, and on SIGTERM finishes or hands back what it has. The contract is proto/asyncapi.yaml and
// proto/worker.proto.
package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	statusTime = time.Second
	// A task that is done before anybody looks was never busy to anyone.
	changeTime = 50 * time.Millisecond
	// What was on its way when the master heard that we leave arrives within it.
	onItsWayTime = 300 * time.Millisecond
	// How long a worker that leaves waits for verdicts on what it brought last.
	lastVerdictsTime = 5 * time.Second
)

type attemptName struct {
	TenantID string `json:"tenant_id"`
	TaskID   string `json:"task_id"`
	Token    int64  `json:"token"`
}

type registration struct {
	ID       string        `json:"id"`
	Boot     string        `json:"boot"`
	Kinds    []string      `json:"kinds"`
	Models   []string      `json:"models"`
	Slots    int           `json:"slots"`
	Credit   int           `json:"credit"`
	Batch    int           `json:"batch"`
	Version  string        `json:"version"`
	Language string        `json:"language"`
	Holding  []attemptName `json:"holding"`
}

type status struct {
	Boot     string `json:"boot"`
	State    string `json:"state"`
	InFlight int    `json:"in_flight"`
}

type goneForGood struct {
	Boot   string `json:"boot"`
	Gone   bool   `json:"gone"`
	Reason string `json:"reason"`
}

// presence is one boot of a worker.
type presence struct {
	options Options
	boot    string
	top     string
	desk    *desk
	results *results
	session *session
	changes chan struct{}
	again   chan struct{}
	// One registration after the other, so that the newest is the last that the broker has.
	registering sync.Mutex
	// Once it has said that it is gone, it says nothing more: a registration after it would be that of a ghost.
	isGone bool
}

// Run does tasks until the context ends, and then leaves in order: it finishes what it works on for options.Drain and
// hands back the rest. The error says which option cannot be; nothing has been done then.
func Run(ctx context.Context, options Options, kinds map[string]Handler) error {
	if len(kinds) == 0 {
		return errors.New("this worker does nothing yet: give it a kind")
	}
	options, err := options.checked()
	if err != nil {
		return err
	}
	if options.Logger == nil {
		options.Logger = log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("this machine has no random numbers: %w", err)
	}
	p := &presence{
		options: options, boot: hex.EncodeToString(random), top: options.Prefix + "/workers/" + options.ID,
		changes: make(chan struct{}, 1), again: make(chan struct{}, 1),
	}
	p.results = newResults(options, p.boot, func(key attemptKey) { p.desk.settle(key) })
	p.desk = newDesk(kinds, options.Slots, options.Credit, p.results, options.Logger, func() { poke(p.changes) })
	p.session = &session{
		options: options, topics: []string{p.top + "/tasks", p.top + "/control"}, logger: options.Logger,
		will:     func() (string, []byte) { return p.top + "/register", p.gone("The worker's line broke.") },
		opened:   p.register,
		received: p.received,
	}
	p.serve(ctx)
	return nil
}

func (p *presence) serve(ctx context.Context) {
	p.options.Logger.Printf("worker %s does %s", p.options.ID, strings.Join(p.desk.kindNames(), ", "))
	// What goes on while we leave ends after it.
	life, end := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, part := range []func(context.Context){p.results.run, p.session.run, p.beat} {
		part := part
		all.Add(1)
		go func() {
			defer all.Done()
			part(life)
		}()
	}
	<-ctx.Done()
	p.leave()
	end()
	all.Wait()
}

func (p *presence) leave() {
	_, unfinished, _ := p.desk.standing()
	p.options.Logger.Printf("leaving: %d tasks are not finished", unfinished)
	p.desk.drain()
	if err := p.registerAndWait(); err != nil {
		p.options.Logger.Printf("the master was not told that this worker leaves: %v", err)
	}
	p.desk.handBackWaiting()
	time.Sleep(onItsWayTime)
	if !within(p.options.Drain, p.desk.emptied()) {
		p.desk.handBackRest()
		within(lastVerdictsTime, p.desk.emptied())
	}
	p.registering.Lock()
	p.isGone = true
	p.registering.Unlock()
	if err := p.session.publishAndWait(p.top+"/register", p.gone("The worker was told to leave.")); err != nil {
		p.options.Logger.Printf("left without a word: %v", err)
	}
}

// beat gives signs of life, soon after the state has changed and every second.
func (p *presence) beat(ctx context.Context) {
	every := time.NewTicker(statusTime)
	defer every.Stop()
	var soon <-chan time.Time
	told := "idle"
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.again:
			_ = p.register() // the broker is away: it is said on the next connection
			continue
		case <-p.changes:
			if soon == nil {
				soon = time.After(changeTime)
			}
			continue
		case <-soon:
			soon = nil
			if p.state() == told {
				continue
			}
		case <-every.C:
		}
		told = p.state()
		p.sayStatus(told)
	}
}

func (p *presence) sayStatus(state string) {
	p.registering.Lock()
	defer p.registering.Unlock()
	if !p.isGone {
		holding, _, _ := p.desk.standing()
		_, _ = p.session.publish(p.top+"/status", 0, false, say(status{p.boot, state, len(holding)})) // or the next
	}
}

func (p *presence) state() string {
	switch _, unfinished, isDraining := p.desk.standing(); {
	case isDraining:
		return "draining"
	case unfinished > 0:
		return "busy"
	default:
		return "idle"
	}
}

// register says who this worker is, what it can do and what it has.
func (p *presence) register() error {
	p.registering.Lock()
	defer p.registering.Unlock()
	if p.isGone {
		return nil
	}
	_, err := p.session.publish(p.top+"/register", 1, true, p.profile())
	return err
}

func (p *presence) registerAndWait() error {
	p.registering.Lock()
	defer p.registering.Unlock()
	return p.session.publishAndWait(p.top+"/register", p.profile())
}

func (p *presence) profile() []byte {
	keys, _, isDraining := p.desk.standing()
	holding := make([]attemptName, 0, len(keys))
	for _, key := range keys {
		holding = append(holding, attemptName{key.tenantID, key.taskID, key.token})
	}
	credit := p.options.Credit
	if isDraining {
		credit = 0
	}
	return say(registration{
		ID: p.options.ID, Boot: p.boot, Kinds: p.desk.kindNames(), Models: append([]string{}, p.options.Models...),
		Slots: p.options.Slots, Credit: credit, Batch: 1, Version: p.options.Version, Language: "go", Holding: holding,
	})
}

func (p *presence) gone(reason string) []byte { return say(goneForGood{p.boot, true, reason}) }

// received takes what the master says. It must not wait: the line reads nothing else meanwhile.
func (p *presence) received(topic string, payload []byte) {
	var err error
	if strings.HasSuffix(topic, "/control") {
		err = p.obey(payload)
	} else {
		err = p.takeTasks(payload)
	}
	if err != nil {
		p.options.Logger.Printf("a message on %s keeps no contract: %v", topic, err)
	}
}

func (p *presence) takeTasks(payload []byte) error {
	var body struct {
		Endpoint *string            `json:"grpc_endpoint"`
		Tasks    *[]json.RawMessage `json:"tasks"`
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return err
	}
	if body.Endpoint == nil || body.Tasks == nil {
		return errors.New("grpc_endpoint and tasks are wanted")
	}
	p.results.leadTo(*body.Endpoint)
	for _, task := range *body.Tasks {
		if err := p.desk.take(task); err != nil {
			p.options.Logger.Printf("a task keeps no contract: %v", err)
		}
	}
	return nil
}

func (p *presence) obey(payload []byte) error {
	var body struct {
		Do       string        `json:"do"`
		Attempts []attemptName `json:"attempts"`
		Endpoint string        `json:"grpc_endpoint"`
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return err
	}
	p.results.leadTo(body.Endpoint)
	switch body.Do {
	case "register":
		poke(p.again)
	case "cancel":
		for _, one := range body.Attempts {
			p.desk.forget(attemptKey{one.TenantID, one.TaskID, one.Token})
		}
	}
	return nil
}

// say writes JSON. Everything that is said this way is made of strings and numbers.
func say(what any) []byte {
	text, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	return text
}

func poke(channel chan<- struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

func within(patience time.Duration, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}
