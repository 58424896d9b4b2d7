// The same library from C++17: owning handles, and a status that says what was wrong.
#include <moxie/moxie.h>

#include <iostream>
#include <memory>
#include <string>

int main(int argc, char** argv) {
  mox_runtime* created = nullptr;
  mox_error error{};
  if (mox_runtime_create(nullptr, &created, &error) != MOX_OK) {
    std::cerr << error.message << '\n';
    return 1;
  }
  const std::unique_ptr<mox_runtime, void (*)(mox_runtime*)> runtime(created, mox_runtime_free);
  mox_model* model = nullptr;
  const auto status = mox_model_open(runtime.get(), "no/such/folder", nullptr, &model, &error);
  std::cout << mox_version() << ": " << mox_status_name(status) << ": " << error.message << '\n';
  const bool right_version = argc < 2 || std::string(argv[1]) == mox_version();
  return status == MOX_NOT_FOUND && std::string(error.message).find("no/such/folder") != std::string::npos &&
                 right_version
             ? 0
             : 1;
}
