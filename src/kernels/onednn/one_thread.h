// While it lives, oneDNN stays on the calling thread.
#pragma once

#include <omp.h>

namespace moxie::kernels::onednn {

// Who calls is a worker of the team, or a thread of the application's: oneDNN must not open a team of its own below it.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace moxie::kernels::onednn
