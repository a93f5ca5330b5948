// The command nervio-worker, for the conformance check: nervio worker-check -- nervio-worker --check
package main

import "nervio/worker"

func main() { worker.Main(nil) }
