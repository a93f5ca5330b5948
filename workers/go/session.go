package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	mqttKeepAlive  = 10 * time.Second
	connectTime    = 5 * time.Second
	sayAgain       = 60 * time.Second
	goodByeMillis  = 250
	refusedByACode = 0x80
)

var errAway = errors.New("the broker is away")

// session is a line to the broker that comes back by itself. Every connection is a new session with a client of its
// own: nothing that was not acknowledged is sent again, since both sides agree anew on what a worker has when it
// registers.
//
// TCP_NODELAY is set: Go does so on every connection that it dials.
type session struct {
	options  Options
	topics   []string
	will     func() (topic string, payload []byte)
	opened   func() error
	received func(topic string, payload []byte)
	logger   Logger

	mu     sync.Mutex
	client mqtt.Client
}

// run keeps a connection until the context ends, and then says good-bye, so that the broker publishes no will.
func (s *session) run(ctx context.Context) {
	pause, said, saidAt := firstPause, "", time.Time{}
	for {
		began := time.Now()
		why := s.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		if why.Error() != said || time.Since(saidAt) > sayAgain {
			s.logger.Printf("broker_away: %s, waiting for it: %v", s.options.broker.shown, why)
			said, saidAt = why.Error(), time.Now()
		}
		if !sleep(ctx, jitter(pause)) {
			return
		}
		pause = longer(pause)
	}
}

// connection is one of them, from its first to its last moment. The error says why it ended.
func (s *session) connection(ctx context.Context) error {
	lost := make(chan error, 1)
	client := mqtt.NewClient(s.clientOptions(lost))
	connecting := client.Connect()
	if !connecting.WaitTimeout(answerTime) {
		// This version of the library waits for the broker's first word for ever, and cannot be told to stop.
		return errors.New("the broker does not answer")
	}
	if err := connecting.Error(); err != nil {
		if connecting.(*mqtt.ConnectToken).ReturnCode() == packets.ErrNetworkError {
			return err
		}
		return fmt.Errorf("the broker refuses us: %w; check user, password and client id", err)
	}
	defer client.Disconnect(goodByeMillis)
	if err := s.subscribe(client); err != nil {
		return err
	}
	s.set(client)
	defer s.set(nil)
	s.logger.Printf("broker_connected: %s", s.options.broker.shown)
	if err := s.opened(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lost:
		return fmt.Errorf("the line broke: %w", err)
	}
}

func (s *session) clientOptions(lost chan<- error) *mqtt.ClientOptions {
	topic, will := s.will()
	options := mqtt.NewClientOptions().
		AddBroker(s.options.broker.url).
		SetClientID(s.options.ID).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetKeepAlive(mqttKeepAlive).
		SetPingTimeout(connectTime).
		SetConnectTimeout(connectTime).
		SetWriteTimeout(answerTime).
		SetBinaryWill(topic, will, 1, true).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }).
		SetDefaultPublishHandler(s.hear)
	if s.options.broker.user != "" {
		options.SetUsername(s.options.broker.user).SetPassword(s.options.broker.password)
	}
	if s.options.broker.isSecure {
		options.SetTLSConfig(s.options.tls.Clone())
	}
	return options
}

func (s *session) hear(_ mqtt.Client, message mqtt.Message) {
	s.received(message.Topic(), message.Payload())
}

// subscribe waits until the broker has agreed.
func (s *session) subscribe(client mqtt.Client) error {
	filters := map[string]byte{}
	for _, topic := range s.topics {
		filters[topic] = 1
	}
	token := client.SubscribeMultiple(filters, s.hear).(*mqtt.SubscribeToken)
	if !token.WaitTimeout(answerTime) {
		return errors.New("the broker did not acknowledge the subscription")
	}
	if err := token.Error(); err != nil {
		return err
	}
	var refused []string
	for topic, code := range token.Result() {
		if code >= refusedByACode {
			refused = append(refused, topic)
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("it allows no subscription to %s", strings.Join(refused, ", "))
	}
	return nil
}

func (s *session) set(client mqtt.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = client
}

// publish hands a message to the line; the token tells when the broker has it.
func (s *session) publish(topic string, qos byte, isRetained bool, payload []byte) (mqtt.Token, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return nil, errAway
	}
	return client.Publish(topic, qos, isRetained, payload), nil
}

// publishAndWait waits until the broker has it.
func (s *session) publishAndWait(topic string, payload []byte) error {
	token, err := s.publish(topic, 1, true, payload)
	if err != nil {
		return err
	}
	if !token.WaitTimeout(answerTime) {
		return errors.New("the broker did not acknowledge")
	}
	return token.Error()
}
