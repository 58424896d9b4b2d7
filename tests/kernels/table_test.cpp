// Which kernels are chosen, refused and skipped, and that the levels this machine has are tested.
#include <gmock/gmock.h>

#include <iostream>

#include "kernels/names.h"
#include "runtime/error.h"
#include "support.h"

namespace moxie::kernels::test {
namespace {

using testing::HasSubstr;

template <class Call>
void expect_error(mox_status status, const std::vector<std::string>& parts, Call call) {
  try {
    call();
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), status);
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(TableTest, EveryLevelOfThisMachineHasItsKernels) {
  const mox_isa machine = machine_isa();
  std::cout << "this machine: " << cpu_name() << ", " << isa_name(machine) << "\n";
  for (int level = MOX_ISA_PORTABLE; level <= machine; ++level) {
    const auto isa = static_cast<mox_isa>(level);
    const Choice choice = choose(isa, MOX_BACKEND_NATIVE);
    std::cout << "  tested at " << isa_name(isa) << ": " << choice.bf16->name << "\n";
    EXPECT_EQ(choice.bf16->isa, isa) << "no kernels for " << isa_name(isa) << ", which this machine has";
    EXPECT_STREQ(choice.bf16->name, isa_name(isa));
  }
}

TEST(TableTest, TheBestIsTheHighestLevelThatIsNotSlowerThanTheOneBelow) {
  const mox_isa machine = machine_isa();
  const bool one_below = machine == MOX_ISA_AVX512_BF16 && vdpbf16ps_is_slow();
  EXPECT_EQ(choose(MOX_ISA_BEST, MOX_BACKEND_AUTO).bf16->isa, one_below ? MOX_ISA_AVX512 : machine);
  for (const TableEntry& entry : table(MOX_ISA_BEST, MOX_BACKEND_NATIVE)) {
    if (entry.kernels->isa != MOX_ISA_AVX512_BF16 || machine < MOX_ISA_AVX512_BF16) continue;
    EXPECT_EQ(entry.skipped_because.find("VDPBF16PS is slower here") != std::string::npos, vdpbf16ps_is_slow())
        << entry.skipped_because;
  }
}

TEST(TableTest, GoesFromBestToReferenceWithReasons) {
  const std::vector<TableEntry> entries = table(MOX_ISA_PORTABLE, MOX_BACKEND_AUTO);
  ASSERT_FALSE(entries.empty());
  EXPECT_STREQ(entries.back().kernels->name, "reference");
  EXPECT_EQ(entries.back().skipped_because, "");
  for (size_t i = 0; i + 1 < entries.size(); ++i) {
    if (entries[i].kernels->backend == MOX_BACKEND_NATIVE && entries[i + 1].kernels->backend == MOX_BACKEND_NATIVE) {
      EXPECT_GT(entries[i].kernels->isa, entries[i + 1].kernels->isa);
    }
  }
  for (const TableEntry& entry : entries) {
    SCOPED_TRACE(entry.kernels->name);
    if (entry.kernels->isa > machine_isa()) {
      EXPECT_THAT(entry.skipped_because, HasSubstr("the highest of this machine"));
    } else if (entry.kernels->isa > MOX_ISA_PORTABLE) {
      EXPECT_THAT(entry.skipped_because, HasSubstr("above the instruction set that was asked for, portable"));
    } else if (entry.kernels->backend == MOX_BACKEND_ONEDNN) {
      EXPECT_THAT(entry.skipped_because, HasSubstr("not chosen unless asked for"));
    } else {
      EXPECT_EQ(entry.skipped_because, "");
    }
  }
}

TEST(TableTest, AutoTakesTheNativeKernelsOfTheLevel) {
  for (const mox_isa isa : {MOX_ISA_PORTABLE, MOX_ISA_AVX2, MOX_ISA_AVX512, MOX_ISA_AVX512_BF16}) {
    if (isa > machine_isa()) break;
    const Choice choice = choose(isa, MOX_BACKEND_AUTO);
    for (const Kernels* kernels : {choice.f32, choice.bf16, choice.small}) {
      EXPECT_EQ(kernels->backend, MOX_BACKEND_NATIVE);
      EXPECT_EQ(kernels->isa, isa);
    }
  }
}

TEST(TableTest, ForcedBackendsServeProducts) {
  const Choice reference = choose(MOX_ISA_BEST, MOX_BACKEND_REFERENCE);
  EXPECT_STREQ(reference.f32->name, "reference");
  EXPECT_STREQ(reference.bf16->name, "reference");
  EXPECT_STREQ(reference.small->name, "reference");
  const Choice eigen = choose(MOX_ISA_PORTABLE, MOX_BACKEND_EIGEN);
  EXPECT_STREQ(eigen.f32->name, "eigen");
  EXPECT_STREQ(eigen.small->name, "portable");
  EXPECT_EQ(choose(MOX_ISA_BEST, MOX_BACKEND_EIGEN).small, choose(MOX_ISA_BEST, MOX_BACKEND_NATIVE).small);
}

TEST(TableTest, RefusesALevelAboveTheMachine) {
  if (machine_isa() == MOX_ISA_AMX) {
    EXPECT_NO_THROW(choose(MOX_ISA_AMX, MOX_BACKEND_AUTO));
    return;
  }
  const auto above = static_cast<mox_isa>(machine_isa() + 1);
  expect_error(MOX_UNSUPPORTED, {isa_name(above), isa_name(machine_isa())},
               [&] { (void)choose(above, MOX_BACKEND_AUTO); });
}

TEST(TableTest, RefusesWhatDoesNotExist) {
  expect_error(MOX_INVALID_ARGUMENT, {"mox_isa 77"}, [] { (void)choose(static_cast<mox_isa>(77), MOX_BACKEND_AUTO); });
  expect_error(MOX_INVALID_ARGUMENT, {"mox_backend 9"},
               [] { (void)choose(MOX_ISA_BEST, static_cast<mox_backend>(9)); });
}

TEST(TableTest, OneDnnIsOfferedOrTheMissingOptionIsNamed) {
  const std::string backends = backends_in_build();
  if (backends.find("onednn") == std::string::npos) {
    EXPECT_EQ(backends, "native,eigen,reference");
    expect_error(MOX_UNSUPPORTED, {"-DMOXIE_WITH_ONEDNN=ON"}, [] { (void)choose(MOX_ISA_BEST, MOX_BACKEND_ONEDNN); });
    return;
  }
  EXPECT_EQ(backends, "native,onednn,eigen,reference");
  EXPECT_STREQ(choose(isa_limit(), MOX_BACKEND_ONEDNN).bf16->name, "onednn");
  // oneDNN's level is settled now, for the whole process.
  const mox_isa settled = isa_limit() == MOX_ISA_BEST ? machine_isa() : isa_limit();
  for (int level = MOX_ISA_PORTABLE; level <= machine_isa(); ++level) {
    const auto isa = static_cast<mox_isa>(level);
    if (isa == settled) continue;
    expect_error(MOX_UNSUPPORTED, {"onednn", isa_name(settled), isa_name(isa)},
                 [&] { (void)choose(isa, MOX_BACKEND_ONEDNN); });
  }
}

TEST(CpuTest, NamesTheProcessorAndCountsIt) {
  EXPECT_FALSE(cpu_name().empty());
  EXPECT_FALSE(allowed_cpus().empty());
  EXPECT_GE(machine_isa(), MOX_ISA_PORTABLE);
}

}  // namespace
}  // namespace moxie::kernels::test
