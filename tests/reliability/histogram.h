// How long things took, for people.
#ifndef UNMASK_TESTS_RELIABILITY_HISTOGRAM_H_
#define UNMASK_TESTS_RELIABILITY_HISTOGRAM_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace unmask::testing {

// Counts of durations in doubling buckets.
class Histogram {
 public:
  void Add(std::chrono::milliseconds time) { times_.push_back(time.count()); }
  std::string ToString() const;  // "n=10 p50=1.2s max=3.4s | <1s 3 <2s 6 ..."
  size_t size() const { return times_.size(); }
  const std::vector<int64_t>& times() const { return times_; }  // Milliseconds.

 private:
  std::vector<int64_t> times_;
};

// Histograms, by name, stacked in one picture: an SVG.
std::string DrawHistograms(const std::string& title, const std::map<std::string, Histogram>& histograms);

}  // namespace unmask::testing

#endif  // UNMASK_TESTS_RELIABILITY_HISTOGRAM_H_
