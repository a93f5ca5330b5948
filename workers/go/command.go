package worker

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const defaultDrain = 30.0

type many []string

func (values *many) String() string { return strings.Join(*values, " ") }

func (values *many) Set(value string) error {
	*values = append(*values, value)
	return nil
}

// Main is the main function of a worker's program: it reads options and NERVIO_WORKER_… variables, does tasks of these
// kinds until SIGTERM or SIGINT, and leaves in order. A second signal ends it at once.
func Main(kinds map[string]Handler) {
	options, hasCheck, err := readCommand(os.Args[1:], os.Stdout)
	if err == flag.ErrHelp {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "nervio-worker: %v\n", err)
		os.Exit(2)
	}
	all := map[string]Handler{}
	for name, do := range kinds {
		all[name] = do
	}
	if hasCheck {
		all["check"] = Check
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "nervio-worker: no kinds: add --check, or give worker.Main kinds of your own")
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	go func() {
		<-ctx.Done()
		stop() // the next one does what a signal does
	}()
	if err := Run(ctx, options, all); err != nil {
		fmt.Fprintf(os.Stderr, "nervio-worker: %v\n", err)
		os.Exit(1)
	}
}

// readCommand reads the command line; --help is flag.ErrHelp, and was answered.
func readCommand(arguments []string, help io.Writer) (Options, bool, error) {
	var options Options
	var hasCheck bool
	var drain float64
	set := flag.NewFlagSet("nervio-worker", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	text := func(to *string, name, variable, without, usage string) {
		if given := os.Getenv(variable); given != "" {
			without = given
		}
		set.StringVar(to, name, without, usage+" (variable "+variable+")")
	}
	text(&options.Broker, "broker", "NERVIO_WORKER_BROKER", "mqtt://127.0.0.1:1883",
		"mqtt://user:password@host:1883, or mqtts://; the variable is better for the password")
	text(&options.ID, "id", "NERVIO_WORKER_ID", "", "name that stays over restarts; default: the machine's")
	text(&options.Prefix, "prefix", "NERVIO_WORKER_PREFIX", DefaultPrefix, "the installation's topic prefix")
	text(&options.Token, "token", "NERVIO_WORKER_TOKEN", "", "the master's worker token; better as the variable")
	text(&options.CA, "ca", "NERVIO_WORKER_CA", "",
		"PEM file: who signed the certificates of broker and master; gRPC goes over TLS then")
	text(&options.Certificate, "certificate", "NERVIO_WORKER_CERTIFICATE", "",
		"PEM file: this worker's certificate, for mutual TLS")
	text(&options.Key, "key", "NERVIO_WORKER_KEY", "", "PEM file: its key")
	set.IntVar(&options.Slots, "slots", 1, "tasks that are worked on at once")
	set.IntVar(&options.Credit, "credit", 0, "tasks that are held at most; default: twice the slots")
	set.Var((*many)(&options.Models), "model", "a model that it has; may be given again")
	set.Float64Var(&drain, "drain-seconds", defaultDrain, "how long tasks may still take after SIGTERM")
	set.BoolVar(&hasCheck, "check", false, "add the kind check, which `nervio worker-check` asks for")
	err := set.Parse(arguments)
	switch {
	case err == flag.ErrHelp:
		printHelp(set, help)
	case err == nil && set.NArg() > 0:
		err = fmt.Errorf("%q is no option; see --help", set.Arg(0))
	case err == nil && options.Slots < 1:
		err = fmt.Errorf("--slots must be at least 1")
	case err == nil && !(drain >= 0 && drain <= 86_400):
		err = fmt.Errorf("--drain-seconds: from 0 to 86400")
	}
	options.Drain = time.Duration(drain * float64(time.Second))
	return options, hasCheck, err
}

// printHelp says what there is. Values of the environment are left out: passwords and tokens are among them.
func printHelp(set *flag.FlagSet, to io.Writer) {
	fmt.Fprintf(to, "Usage: %s [options]\n\nA worker for Nervio's fleet.\n\n", set.Name())
	set.VisitAll(func(one *flag.Flag) { fmt.Fprintf(to, "  --%-14s %s\n", one.Name, one.Usage) })
}
