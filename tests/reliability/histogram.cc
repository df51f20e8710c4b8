#include "tests/reliability/histogram.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace unmask::testing {
namespace {

constexpr int64_t kFirstBound = 250;  // Milliseconds; buckets double.

size_t BucketOf(int64_t time) {
  size_t bucket = 0;
  for (int64_t bound = kFirstBound; time >= bound; bound *= 2) ++bucket;
  return bucket;
}

std::string BucketName(size_t bucket) {
  std::ostringstream name;
  name << "&lt; " << static_cast<double>(kFirstBound << bucket) / 1000 << " s";
  return name.str();
}

}  // namespace

std::string Histogram::ToString() const {
  std::vector<int64_t> sorted = times_;
  std::sort(sorted.begin(), sorted.end());
  std::ostringstream text;
  text << "n=" << sorted.size();
  if (sorted.empty()) return text.str();
  text << " p50=" << sorted[sorted.size() / 2] << "ms max=" << sorted.back() << "ms |";
  auto next = sorted.begin();
  for (int64_t bound = kFirstBound; next != sorted.end(); bound *= 2) {
    const auto end = std::lower_bound(next, sorted.end(), bound);
    if (end != next) text << " <" << bound << "ms: " << end - next;
    next = end;
  }
  return text.str();
}

std::string DrawHistograms(const std::string& title, const std::map<std::string, Histogram>& histograms) {
  constexpr const char* kColours[] = {"#3b6ea5", "#8fb339", "#d98e04", "#a23b72", "#5c6b73"};
  constexpr int kHeight = 180, kLeft = 30, kWidth = 70, kTop = 44;
  std::vector<int> totals;
  for (const auto& [name, histogram] : histograms) {
    for (const int64_t time : histogram.times()) {
      totals.resize(std::max(totals.size(), BucketOf(time) + 1));
      ++totals[BucketOf(time)];
    }
  }
  const int most = totals.empty() ? 1 : *std::max_element(totals.begin(), totals.end());
  std::ostringstream svg;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 " << kTop + kHeight + 30
      << "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << "<text x=\"10\" y=\"22\" font-weight=\"bold\">" << title << "</text>\n";
  std::vector<int> below(totals.size());
  int row = 0;
  for (const auto& [name, histogram] : histograms) {
    const char* colour = kColours[row % std::size(kColours)];
    std::vector<int> counts(totals.size());
    for (const int64_t time : histogram.times()) ++counts[BucketOf(time)];
    for (size_t bucket = 0; bucket < counts.size(); ++bucket) {
      const int height = kHeight * counts[bucket] / most;
      below[bucket] += height;
      svg << "<rect x=\"" << kLeft + static_cast<int>(bucket) * kWidth << "\" y=\"" << kTop + kHeight - below[bucket]
          << "\" width=\"" << kWidth - 8 << "\" height=\"" << height << "\" fill=\"" << colour << "\"/>\n";
    }
    svg << "<rect x=\"560\" y=\"" << kTop + 22 * row << "\" width=\"12\" height=\"12\" fill=\"" << colour
        << "\"/><text x=\"578\" y=\"" << kTop + 11 + 22 * row << "\">" << name << ": " << histogram.size()
        << "</text>\n";
    ++row;
  }
  for (size_t bucket = 0; bucket < totals.size(); ++bucket) {
    const int middle = kLeft + static_cast<int>(bucket) * kWidth + (kWidth - 8) / 2;
    svg << "<text x=\"" << middle << "\" y=\"" << kTop + kHeight + 18 << "\" text-anchor=\"middle\">"
        << BucketName(bucket) << "</text>\n";
    if (totals[bucket] > 0) {
      svg << "<text x=\"" << middle << "\" y=\"" << kTop + kHeight - below[bucket] - 4 << "\" text-anchor=\"middle\">"
          << totals[bucket] << "</text>\n";
    }
  }
  svg << "</svg>\n";
  return svg.str();
}

}  // namespace unmask::testing
