// Asks an Unmask service and prints the text as its blocks are finished.
//
//	cd examples/go && go generate && go run . 127.0.0.1:50051 "Hello"
//
// go generate makes the stubs from proto/ and needs protoc (Debian's protobuf-compiler).
package main

//go:generate ./stubs.sh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "unmask.example/generate/unmaskpb"
)

// Waits while nobody is there, asks again when refused for the moment. A stream that has begun is never repeated.
const serviceConfig = `{"methodConfig": [{
  "name": [{"service": "unmask.v1.InferenceService"}],
  "waitForReady": true,
  "retryPolicy": {"maxAttempts": 5, "initialBackoff": "1s", "maxBackoff": "30s", "backoffMultiplier": 3,
                  "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}}]}`

func generate(server, prompt string) error {
	connection, err := grpc.NewClient(server, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// An attempt to connect to a machine or pod that is gone is given up after five seconds, not twenty.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 5 * time.Second}))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	stream, err := pb.NewInferenceServiceClient(connection).GenerateStream(ctx, &pb.GenerateRequest{
		Input: &pb.GenerateRequest_Chat{Chat: &pb.Chat{Messages: []*pb.ChatMessage{{Role: "user", Content: prompt}}}},
		Options: &pb.GenerationOptions{
			GenLength:   proto.Int32(64),
			BlockLength: proto.Int32(32),
			Remasking:   pb.Remasking_REMASKING_CONFIDENCE_THRESHOLD.Enum(),
			Threshold:   proto.Float32(0.9),
			Seed:        proto.Uint64(7),
		},
	})
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if block := event.GetBlock(); block != nil {
			fmt.Print(block.TextDelta)
		}
		if done := event.GetCompleted(); done != nil {
			fmt.Printf("\n\n%d steps, exact: %t, seed %d\n", done.Usage.Steps, done.Exactness.Exact, done.Options.GetSeed())
		}
	}
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: generate HOST:PORT PROMPT")
		os.Exit(64)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", status.Code(err), status.Convert(err).Message())
		os.Exit(1)
	}
}
