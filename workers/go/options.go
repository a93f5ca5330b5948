package worker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"time"
)

// Version is what a worker says of itself unless Options say otherwise.
const Version = "0.1.0"

// DefaultPrefix is what topics begin with where the installation has no prefix of its own.
const DefaultPrefix = "upb"

const idRule = "1 to 64 of A-Z a-z 0-9 . _ -"

var idPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Logger takes lines for people. A *log.Logger is one.
type Logger interface {
	Printf(format string, arguments ...any)
}

// Options say how a worker reaches its master. What is empty is as `nervio-worker --help` says.
type Options struct {
	// Broker is mqtt://user:password@host:1883, or mqtts:// for TLS.
	Broker string
	// ID stays over restarts; by default it is the name of the machine.
	ID     string
	Prefix string
	// Token is the master's worker token.
	Token string
	// CA is a PEM file: who signed the certificates of broker and master. With it gRPC goes over TLS.
	CA string
	// Certificate and Key are PEM files that this worker shows, for mutual TLS.
	Certificate string
	Key         string
	// Slots is how many tasks are worked on at once; 0: one.
	Slots int
	// Credit is how many tasks are held at most; 0: twice the slots.
	Credit int
	Models []string
	// Version is that of the worker's own program.
	Version string
	// Drain is how long tasks may still take once the worker is told to leave; what is left then is handed back.
	Drain  time.Duration
	Logger Logger

	tls    *tls.Config
	broker brokerAddress
}

// brokerAddress is where the broker is, and who asks.
type brokerAddress struct {
	url            string // as paho wants it
	shown          string // for people, without the password
	user, password string
	isSecure       bool
}

// checked gives the options with their defaults. The error names the one that cannot be.
func (options Options) checked() (Options, error) {
	if options.Slots < 0 || options.Credit < 0 {
		return options, errors.New("slots and credit must be at least 1")
	}
	if options.Slots == 0 {
		options.Slots = 1
	}
	if options.Credit == 0 {
		options.Credit = 2 * options.Slots
	}
	if options.Credit < options.Slots {
		return options, errors.New("credit must be at least as many as slots")
	}
	if options.ID == "" {
		name, err := os.Hostname()
		if err != nil {
			return options, fmt.Errorf("id: the machine has no name, give one: %w", err)
		}
		options.ID = name
	}
	if !idPattern.MatchString(options.ID) {
		return options, fmt.Errorf("id: %q is none: %s", options.ID, idRule)
	}
	if options.Prefix == "" {
		options.Prefix = DefaultPrefix
	}
	if options.Version == "" {
		options.Version = Version
	}
	var err error
	if options.broker, err = readBroker(options.Broker); err != nil {
		return options, err
	}
	options.tls, err = readTLS(options)
	return options, err
}

func readBroker(address string) (brokerAddress, error) {
	parts, err := url.Parse(address)
	if err != nil || (parts.Scheme != "mqtt" && parts.Scheme != "mqtts") || parts.Hostname() == "" {
		// The address may have a password in it: it is not said again.
		return brokerAddress{}, errors.New("broker must be mqtt://user:password@host:1883, or mqtts:// for TLS")
	}
	broker := brokerAddress{isSecure: parts.Scheme == "mqtts", user: parts.User.Username()}
	broker.password, _ = parts.User.Password()
	scheme, port := "tcp", "1883"
	if broker.isSecure {
		scheme, port = "ssl", "8883"
	}
	if parts.Port() != "" {
		port = parts.Port()
	}
	place := net.JoinHostPort(parts.Hostname(), port)
	broker.url, broker.shown = scheme+"://"+place, parts.Scheme+"://"+place
	return broker, nil
}

// readTLS makes what broker and master share: whom to trust, and what to show.
func readTLS(options Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if options.CA != "" {
		text, err := os.ReadFile(options.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", options.CA)
		}
	}
	if (options.Certificate == "") != (options.Key == "") {
		return nil, errors.New("certificate and key go together; one of them is empty")
	}
	if options.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(options.Certificate, options.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
