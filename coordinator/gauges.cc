#include "coordinator/gauges.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "coordinator/labels.h"
#include "google/protobuf/descriptor.h"

namespace unmask {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily FamilyOf(std::string name, std::string help, MetricType type = MetricType::Gauge) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

void Add(std::vector<ClientMetric::Label> labels, double value, MetricFamily* family) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family->type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family->metric.push_back(std::move(metric));
}

// Seconds since the epoch at which the machine started; 0 if unknown.
double BootTime() {
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);) {
    if (absl::string_view rest = line; absl::ConsumePrefix(&rest, "btime ")) return std::strtod(rest.data(), nullptr);
  }
  return 0;
}

int OpenFiles() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = -3;  // ".", ".." and this one.
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace

std::vector<MetricFamily> FleetGauges(const v1::GetFleetResponse& fleet) {
  MetricFamily queued = FamilyOf("unmask_queued_requests", "Requests that wait for a replica.");
  MetricFamily queued_work = FamilyOf("unmask_queued_work_units", "What they ask for: rows to compute, until the end.");
  MetricFamily running = FamilyOf("unmask_running_requests", "Requests that replicas compute.");
  MetricFamily states = FamilyOf("unmask_replica_state", "1 for the state that the replica is in.");
  MetricFamily canvas = FamilyOf("unmask_canvas_tokens", "Canvas positions whose K/V is reserved, guidance's too.");
  MetricFamily capacity = FamilyOf("unmask_canvas_tokens_capacity", "Canvas positions for which replicas have K/V.");
  int running_requests = 0;
  int64_t positions = 0;
  int64_t positions_used = 0;
  for (const v1::ReplicaStatus& replica : fleet.replicas()) {
    running_requests += replica.running();
    positions_used += replica.kv_positions_used();
    const bool serves = replica.state() == v1::REPLICA_STATE_READY || replica.state() == v1::REPLICA_STATE_DRAINING;
    if (serves) positions += replica.kv_positions();
    for (int state = v1::REPLICA_STATE_STARTING; state <= v1::ReplicaState_MAX; ++state) {
      const std::string name = v1::ReplicaState_Name(static_cast<v1::ReplicaState>(state));
      Add({{"replica", replica.name()}, {"state", EnumLabel(name, "REPLICA_STATE_")}}, replica.state() == state ? 1 : 0,
          &states);
    }
  }
  Add({}, fleet.queued(), &queued);
  Add({}, fleet.queued_work(), &queued_work);
  Add({}, running_requests, &running);
  Add({}, positions_used, &canvas);
  Add({}, positions, &capacity);
  return {queued, queued_work, running, states, canvas, capacity};
}

std::vector<MetricFamily> BatchGauges(const BatchCensus& census) {
  MetricFamily jobs = FamilyOf("unmask_batch_jobs", "Batch jobs in the store by their state.");
  for (int state = v1::BATCH_JOB_STATE_PENDING; state <= v1::BatchJobState_MAX; ++state) {
    const std::string name = v1::BatchJobState_Name(static_cast<v1::BatchJobState>(state));
    Add({{"state", EnumLabel(name, "BATCH_JOB_STATE_")}}, census.jobs[state], &jobs);
  }
  MetricFamily running = FamilyOf("unmask_batch_items_running", "Lines of batch jobs that are under way.");
  Add({}, census.items_running, &running);
  MetricFamily failing = FamilyOf("unmask_batch_store_failing", "1 while the store fails and its jobs are paused.");
  Add({}, census.store_failing ? 1 : 0, &failing);
  return {jobs, running, failing};
}

std::vector<MetricFamily> ProcessMetrics() {
  // Behind the name, which may hold anything, in brackets: state is field 3, utime 14, stime 15, starttime 22, vsize 23
  // and rss 24 (proc(5)).
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string state;
  fields >> state;
  double values[25] = {};
  for (int field = 4; field < 25; ++field) fields >> values[field];
  if (!fields) return {};

  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  MetricFamily cpu = FamilyOf("process_cpu_seconds_total", "Processor time of the process.", MetricType::Counter);
  MetricFamily start = FamilyOf("process_start_time_seconds", "When the process started, since the Unix epoch.");
  MetricFamily virtual_memory = FamilyOf("process_virtual_memory_bytes", "Virtual memory.");
  MetricFamily resident = FamilyOf("process_resident_memory_bytes", "Resident memory.");
  MetricFamily open_files = FamilyOf("process_open_fds", "Open file descriptors.");
  MetricFamily max_files = FamilyOf("process_max_fds", "The most file descriptors that may be open.");
  Add({}, (values[14] + values[15]) / ticks, &cpu);
  Add({}, BootTime() + values[22] / ticks, &start);
  Add({}, values[23], &virtual_memory);
  Add({}, values[24] * static_cast<double>(sysconf(_SC_PAGESIZE)), &resident);
  Add({}, OpenFiles(), &open_files);
  Add({}, limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity() : limit.rlim_cur, &max_files);
  return {cpu, start, virtual_memory, resident, open_files, max_files};
}

}  // namespace unmask
