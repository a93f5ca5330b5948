package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// The longest text that `repeat` asks for: more than a message carries, so that the check can see it refused.
const longestRepeat = 1 << 30

// Check does the kind `check`, which `nervio worker-check` asks for (docs/workers.md).
func Check(ctx context.Context, job *Job) (any, error) {
	var asked struct {
		Echo    json.RawMessage `json:"echo"`
		Chunks  int             `json:"chunks"`
		Seconds float64         `json:"sleep_seconds"`
		Fail    *string         `json:"fail"`
		Repeat  *int            `json:"repeat"`
	}
	decoder := json.NewDecoder(bytes.NewReader(job.Payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil || bytes.Equal(job.Payload, []byte("null")) {
		return nil, &TaskFailed{
			Message: "payload: an object of chunks, echo, fail, repeat, sleep_seconds is expected", Hopeless: true,
		}
	}
	for n := 0; n < asked.Chunks; n++ {
		job.Emit("part " + strconv.Itoa(n))
	}
	if asked.Seconds > 0 {
		select {
		case <-time.After(time.Duration(math.Min(asked.Seconds, 86_400) * float64(time.Second))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch {
	case asked.Fail != nil:
		return nil, &TaskFailed{Message: *asked.Fail, Hopeless: true}
	case asked.Repeat != nil && (*asked.Repeat < 0 || *asked.Repeat > longestRepeat):
		return nil, &TaskFailed{Message: "repeat: from 0 to " + strconv.Itoa(longestRepeat), Hopeless: true}
	case asked.Repeat != nil:
		return strings.Repeat("x", *asked.Repeat), nil
	}
	return Answer{asked.Echo, map[string]any{"input_tokens": 1, "output_tokens": asked.Chunks}}, nil
}
