#!/usr/bin/env bash
# clang's thread-safety analysis, an error in the clang preset, sees an access without its lock. thread_safety.sh ROOT; exit 77
# (skipped) without clang.
set -euo pipefail
root=${1:?usage: thread_safety.sh ROOT}
command -v clang++ >/dev/null || { echo "skipped: there is no clang++ on this machine"; exit 77; }

check() {  # statements of a method -> what clang says about them
  clang++ -x c++ -std=c++20 -fsyntax-only -Wthread-safety -Werror -I"$root" - 2>&1 <<SOURCE
#include "base/mutex.h"
class Counter {
 public:
  void Add() { $1 }

 private:
  unmask::Mutex mutex_;
  unmask::CondVar changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};
void Use() { Counter().Add(); }
SOURCE
}

accepts() { check "$1" || { echo "refused, though it is right: $1"; exit 1; }; }
rejects() {  # statements, part of the message
  if said=$(check "$1"); then echo "not noticed: $1"; exit 1; fi
  [[ $said == *"$2"* ]] || { printf 'wrong message for %s:\n%s\n' "$1" "$said"; exit 1; }
}

accepts 'unmask::MutexLock lock(&mutex_); ++count_;'
accepts 'unmask::MutexLock lock(&mutex_); while (count_ == 0) changed_.Wait(&mutex_);'
rejects '++count_;' "requires holding mutex 'mutex_'"
rejects 'changed_.Wait(&mutex_);' "requires holding mutex 'mutex_'"
rejects 'mutex_.Lock(); ++count_;' "still held at the end"
rejects 'unmask::MutexLock lock(&mutex_); unmask::MutexLock again(&mutex_);' "already held"
echo "every planted access without its lock was named"
