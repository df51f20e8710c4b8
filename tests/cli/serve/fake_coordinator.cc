// Stands in for unmask-coordinator: binds, says where, tells of one replica, drains. Steered by files in $FAKE_DIR:
//   coordinator_exit  end at once with the code in it
//   ready             replica-0 is READY (else STARTING, 30 of 100 bytes loaded)
//   slow              draining waits until it is gone
// and leaves its story in $FAKE_DIR/story.
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "unmask/v1/fleet.grpc.pb.h"

namespace {

std::string Fake(const std::string& name) { return std::string(getenv("FAKE_DIR")) + "/" + name; }

bool Exists(const std::string& name) { return std::filesystem::exists(Fake(name)); }

void Tell(const std::string& line) { std::ofstream(Fake("story"), std::ios::app) << line + "\n" << std::flush; }

class Fleet final : public unmask::v1::FleetService::Service {
  grpc::Status GetFleet(grpc::ServerContext*, const unmask::v1::GetFleetRequest*,
                        unmask::v1::GetFleetResponse* response) override {
    unmask::v1::ReplicaStatus* replica = response->add_replicas();
    replica->set_name("replica-0");
    replica->set_state(unmask::v1::REPLICA_STATE_STARTING);
    replica->mutable_loading()->set_bytes_done(30);
    replica->mutable_loading()->set_bytes_total(100);
    if (Exists("ready")) replica->set_state(unmask::v1::REPLICA_STATE_READY);
    return grpc::Status::OK;
  }
};

std::string WithPort(const std::string& address, int port) {
  return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  Tell("coordinator starts " + flags["--listen"] + " " + flags["--fleet-listen"] + " " + flags["--admin-listen"]);
  if (Exists("coordinator_exit")) {
    fprintf(stderr, "20:01:02.123 E coordinator: it is asked to fail\n");
    int code = 1;
    std::ifstream(Fake("coordinator_exit")) >> code;
    return code;
  }
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);

  Fleet fleet;
  grpc::ServerBuilder builder;
  int ports[3] = {};
  const char* names[3] = {"--listen", "--fleet-listen", "--admin-listen"};
  for (int i = 0; i < 3; ++i) builder.AddListeningPort(flags[names[i]], grpc::InsecureServerCredentials(), &ports[i]);
  builder.RegisterService(&fleet);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 78;
  const std::string file = flags["--address-file"];
  std::ofstream(file + ".tmp") << "{\"grpc\": \"" << WithPort(flags[names[0]], ports[0]) << "\", \"fleet\": \""
                               << WithPort(flags[names[1]], ports[1]) << "\", \"admin\": \""
                               << WithPort(flags[names[2]], ports[2]) << "\"}";
  rename((file + ".tmp").c_str(), file.c_str());

  int signal_number;
  sigwait(&terminate, &signal_number);
  Tell("coordinator drains");
  while (Exists("slow")) usleep(5000);
  Tell("coordinator ends");
  return 0;
}
