package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	pb "nervio/workerpb"
)

// run brings what there is until the context ends. Nothing is connected before there is something to say.
func (r *results) run(ctx context.Context) {
	pause := firstPause
	defer r.hangUp()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		endpoint := r.wanted()
		if endpoint == "" {
			continue
		}
		began := time.Now()
		err := r.stream(ctx, endpoint)
		r.nudge()
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.logger.Printf("results_not_taken at %s: %v; trying again", endpoint, err)
		r.showNothing()
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		if !sleep(ctx, jitter(pause)) {
			return
		}
		pause = longer(pause)
	}
}

// stream speaks from hello until there is nothing more to say, or another place to say it. The error says how it broke.
func (r *results) stream(ctx context.Context, endpoint string) error {
	conn, err := r.connect(endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.options.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+r.options.Token)
	}
	patience := time.AfterFunc(answerTime, cancel)
	call, err := pb.NewFleetClient(conn).Work(ctx)
	if err != nil {
		return err
	}
	hello := &pb.Hello{WorkerId: r.options.ID, Boot: r.boot}
	if err := call.Send(&pb.FromWorker{Message: &pb.FromWorker_Hello{Hello: hello}}); err != nil && err != io.EOF {
		return err
	}
	welcome, err := call.Recv() // of a stream that broke it says why
	if !patience.Stop() {
		return fmt.Errorf("the master did not answer within %v", answerTime)
	}
	if err != nil {
		return ended(err)
	}
	r.begin(welcome.GetWelcome().GetLargestMessageBytes())
	broken := make(chan error, 1)
	go func() { broken <- r.read(call) }()
	return r.write(ctx, call, endpoint, broken)
}

func (r *results) write(ctx context.Context, call pb.Fleet_WorkClient, endpoint string, broken <-chan error) error {
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	quietSince := time.Now()
	send := func(message *pb.FromWorker) error {
		err := call.Send(message)
		if err == io.EOF { // broken; the reader knows why
			return <-broken
		}
		return err
	}
	for {
		reports, parts := r.takeReports(), len(r.parts)
		// The parts that are there now go before these reports: a report never overtakes its own parts, and whoever
		// emits without end holds up no report of another.
		for taken := 0; taken < parts; {
			some := r.takeParts(parts - taken)
			taken += len(some)
			message := &pb.FromWorker{Message: &pb.FromWorker_Chunks{Chunks: &pb.Chunks{Chunks: some}}}
			if err := send(message); err != nil {
				return err
			}
		}
		if len(reports) > 0 {
			message := &pb.FromWorker{Message: &pb.FromWorker_Reports{Reports: &pb.Reports{Reports: reports}}}
			if err := send(message); err != nil {
				return err
			}
		}
		isMoved, isQuiet := r.look(endpoint)
		if isMoved {
			return nil
		}
		if parts > 0 || len(reports) > 0 {
			quietSince = time.Now()
			continue
		}
		if isQuiet && time.Since(quietSince) > idleTime {
			return call.CloseSend()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-broken:
			return err
		case <-r.wake:
		case <-beat.C:
			if err := send(&pb.FromWorker{Message: &pb.FromWorker_Heartbeat{Heartbeat: &pb.Heartbeat{}}}); err != nil {
				return err
			}
		}
	}
}

// read takes verdicts until the stream ends.
func (r *results) read(call pb.Fleet_WorkClient) error {
	for {
		answer, err := call.Recv()
		if err != nil {
			return ended(err)
		}
		var again []attemptKey
		for _, verdict := range answer.GetVerdicts().GetVerdicts() {
			key := attemptKey{verdict.TenantId, verdict.TaskId, verdict.Token}
			if verdict.Outcome == pb.Outcome_OUTCOME_RETRY {
				again = append(again, key)
			} else {
				r.forget(key)
				r.settled(key)
			}
		}
		r.mu.Lock()
		if len(again) > 0 {
			time.AfterFunc(r.pause, func() { r.sendAgain(again) })
			r.pause = longer(r.pause)
		} else {
			r.pause = firstPause
		}
		r.mu.Unlock()
	}
}

// connect gives the channel to an endpoint, the one that is there if it leads to the same.
func (r *results) connect(endpoint string) (*grpc.ClientConn, error) {
	if r.conn != nil && r.connectedTo == endpoint {
		r.conn.ResetConnectBackoff() // the pause between two tries is ours
		return r.conn, nil
	}
	r.hangUp()
	security := grpc.WithInsecure()
	if r.options.CA != "" {
		security = grpc.WithTransportCredentials(credentials.NewTLS(r.options.tls.Clone()))
	}
	conn, err := grpc.Dial(endpoint, security,
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{})),
		grpc.WithNoProxy(), // loopback and private addresses have no business with a proxy of the environment
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepAliveTime, Timeout: answerTime, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: firstPause, Multiplier: 2, Jitter: 0.2, MaxDelay: longestPause,
			},
			MinConnectTimeout: longestPause,
		}),
	)
	if err != nil {
		return nil, err
	}
	r.conn, r.connectedTo = conn, endpoint
	return conn, nil
}

func (r *results) hangUp() {
	if r.conn != nil {
		_ = r.conn.Close() // it has nothing to say that would help anybody
		r.conn = nil
	}
}

func ended(err error) error {
	if err == io.EOF {
		return errors.New("the master ended the stream")
	}
	return err
}
