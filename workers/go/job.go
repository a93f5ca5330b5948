package worker

import (
	"context"
	"encoding/json"
	"sync"
	"time"
	"unicode/utf8"
)

// A longer part of an answer is shown as several.
const longestPart = 1 << 20

// attemptKey names an attempt.
type attemptKey struct {
	tenantID string
	taskID   string
	token    int64
}

// Handler does tasks of one kind. What it returns is anything that encoding/json can say, or an Answer; an error is a
// failed attempt, and a *TaskFailed says more about it. The context ends when nobody wants the result any more.
type Handler func(ctx context.Context, job *Job) (any, error)

// Answer is a result together with what it cost: input_tokens, output_tokens, and so on.
type Answer struct {
	Result any
	Usage  map[string]any
}

// TaskFailed is an attempt that came to nothing.
type TaskFailed struct {
	Message string
	// Hopeless says that trying again is of no use.
	Hopeless bool
	// RetryAfter says how long to wait before it is tried again; 0: as the master likes.
	RetryAfter time.Duration
}

func (failed *TaskFailed) Error() string { return failed.Message }

// Job is one attempt at a task. Execution is at least once: give TenantID and TaskID as an idempotency key to whoever
// is paid.
type Job struct {
	TenantID string
	TaskID   string
	Token    int64
	Kind     string
	// Model is empty where the worker may choose.
	Model string
	// Payload is JSON; files in it are named by reference.
	Payload json.RawMessage
	// Attempt is 1 for the first.
	Attempt int
	// Size is how much work it is likely to be, in the unit of its kind; 0: not known.
	Size int64
	// DeadlineAt is zero where there is none.
	DeadlineAt time.Time

	ctx  context.Context
	show func(ctx context.Context, key attemptKey, n int32, text string)
	mu   sync.Mutex
	n    int32
}

// Emit shows a part of the answer while it is being made. It waits where whoever reads is slow, so that a long answer
// slows its handler and not the memory.
func (job *Job) Emit(text string) {
	job.mu.Lock()
	defer job.mu.Unlock()
	for {
		part := text
		if len(text) > longestPart {
			end := longestPart
			for !utf8.RuneStart(text[end]) && end > longestPart-utf8.UTFMax {
				end--
			}
			part = text[:end]
		}
		if job.ctx.Err() != nil {
			return
		}
		job.show(job.ctx, job.key(), job.n, part)
		job.n++
		text = text[len(part):]
		if text == "" {
			return
		}
	}
}

func (job *Job) key() attemptKey { return attemptKey{job.TenantID, job.TaskID, job.Token} }
