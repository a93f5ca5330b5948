package worker

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// codec writes messages with the protobuf that made them. Debian's gRPC has an older one built in, which cannot.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(what any) ([]byte, error) {
	message, isOne := what.(proto.Message)
	if !isOne {
		return nil, fmt.Errorf("%T is no message", what)
	}
	return proto.Marshal(message)
}

func (codec) Unmarshal(text []byte, into any) error {
	message, isOne := into.(proto.Message)
	if !isOne {
		return fmt.Errorf("%T is no message", into)
	}
	return proto.Unmarshal(text, message)
}
