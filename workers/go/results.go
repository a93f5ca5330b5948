package worker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	pb "nervio/workerpb"
)

const (
	largestMessage = 64 << 20
	// What a message has besides its results, at most.
	messageMargin = 64 << 10
	atOnce        = 64
	atOnceBytes   = 4 << 20
	// Parts of answers that wait to be sent; whoever makes more waits as well.
	mostParts     = 256
	keepAliveTime = 30 * time.Second
	idleTime      = 60 * time.Second
	streamBeat    = 2 * time.Second
	answerTime    = 10 * time.Second
	firstPause    = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// kept is a report that has no final verdict.
type kept struct {
	report   *pb.Report
	isQueued bool
}

// results is the way back to the master: one gRPC stream for parts of answers and reports. A report is kept until its
// verdict, and sent again on every new stream. Parts are shown and never kept: what cannot be sent while there is no
// stream is dropped.
type results struct {
	options Options
	boot    string
	logger  Logger
	settled func(attemptKey)
	wake    chan struct{}
	parts   chan *pb.Chunk

	mu       sync.Mutex
	endpoint string
	reports  map[attemptKey]*kept
	unsent   []attemptKey
	mayShow  bool
	largest  int
	pause    time.Duration

	// Of the goroutine that runs.
	conn        *grpc.ClientConn
	connectedTo string
}

func newResults(options Options, boot string, settled func(attemptKey)) *results {
	return &results{
		options: options, boot: boot, logger: options.Logger, settled: settled,
		wake: make(chan struct{}, 1), parts: make(chan *pb.Chunk, mostParts),
		reports: map[attemptKey]*kept{}, mayShow: true, largest: largestMessage, pause: firstPause,
	}
}

// leadTo says where results go from now on.
func (r *results) leadTo(endpoint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if endpoint != "" && endpoint != r.endpoint {
		r.endpoint = endpoint
		r.nudge()
	}
}

// report keeps a report until its verdict.
func (r *results) report(report *pb.Report) {
	// A string that is no UTF-8 would break the stream, again and again.
	report.Result, report.Usage, report.Error = valid(report.Result), valid(report.Usage), valid(report.Error)
	key := attemptKey{report.TenantId, report.TaskId, report.Token}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports[key] = &kept{report, true}
	r.unsent = append(r.unsent, key)
	r.nudge()
}

// forget drops a report that nobody wants any more.
func (r *results) forget(key attemptKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reports, key)
}

// show sends a part of an answer, and waits until there is room for it.
func (r *results) show(ctx context.Context, key attemptKey, n int32, text string) {
	r.mu.Lock()
	mayShow := r.mayShow
	r.mu.Unlock()
	if !mayShow {
		return
	}
	part := &pb.Chunk{TenantId: key.tenantID, TaskId: key.taskID, Token: key.token, N: n, Text: valid(text)}
	select {
	case r.parts <- part:
		r.nudge()
	case <-ctx.Done():
	}
}

// wanted is where something has to be said now, if anything has.
func (r *results) wanted() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.reports) == 0 && len(r.parts) == 0 {
		return ""
	}
	return r.endpoint
}

func (r *results) showNothing() {
	r.mu.Lock()
	r.mayShow = false
	r.mu.Unlock()
	for {
		select {
		case <-r.parts:
		default:
			return
		}
	}
}

func (r *results) begin(largest int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.largest = largestMessage
	if largest > 0 && largest < largestMessage {
		r.largest = int(largest)
	}
	r.mayShow = true
	r.unsent = r.unsent[:0]
	for key, one := range r.reports {
		one.isQueued = true
		r.unsent = append(r.unsent, key)
	}
}

func (r *results) look(endpoint string) (isMoved, isQuiet bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endpoint != endpoint, len(r.reports) == 0
}

func (r *results) sendAgain(keys []attemptKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if one := r.reports[key]; one != nil && !one.isQueued {
			one.isQueued = true
			r.unsent = append(r.unsent, key)
		}
	}
	r.nudge()
}

func (r *results) takeReports() []*pb.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []*pb.Report
	size := 0
	for len(r.unsent) > 0 && len(some) < atOnce {
		one := r.reports[r.unsent[0]]
		if one == nil {
			r.unsent = r.unsent[1:]
			continue
		}
		large := proto.Size(one.report)
		if large > r.largest-messageMargin {
			one.report = tooLarge(one.report, large, r.largest)
			large = proto.Size(one.report)
		}
		if size > 0 && size+large > atOnceBytes {
			break
		}
		one.isQueued = false
		some = append(some, one.report)
		size += large
		r.unsent = r.unsent[1:]
	}
	return some
}

// takeParts takes at least one and at most so many of the parts that wait; the caller knows that they are there.
func (r *results) takeParts(most int) []*pb.Chunk {
	var some []*pb.Chunk
	for size := 0; len(some) < most && len(some) < atOnce && size < atOnceBytes; {
		part := <-r.parts
		size += len(part.Text)
		some = append(some, part)
	}
	return some
}

// tooLarge is what is reported in place of a report that no message can carry.
func tooLarge(report *pb.Report, size, largest int) *pb.Report {
	return &pb.Report{
		TenantId: report.TenantId, TaskId: report.TaskId, Token: report.Token, Seconds: report.Seconds,
		Ending: pb.Ending_ENDING_FAILED, Hopeless: true,
		Error: fmt.Sprintf(
			"The result has %d bytes; a message carries %d at most. Store it as a file and give its name.",
			size, largest),
	}
}

func (r *results) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func longer(pause time.Duration) time.Duration {
	if pause *= 2; pause < longestPause {
		return pause
	}
	return longestPause
}

// jitter spreads pauses, so that workers do not all come at once.
func jitter(pause time.Duration) time.Duration {
	random := make([]byte, 1)
	_, _ = rand.Read(random) // without it the pause is half as long
	return pause/2 + pause*time.Duration(random[0])/512
}

// sleep tells whether the time passed before the context ended.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}
