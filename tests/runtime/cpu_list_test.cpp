#include "runtime/cpu_list.h"

#include <gmock/gmock.h>

#include "runtime/error.h"

namespace moxie {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CpuList, IsReadInTheOrderWritten) {
  EXPECT_THAT(parse_cpu_list("0", "cpus"), ElementsAre(0));
  EXPECT_THAT(parse_cpu_list("4,0-2,9", "cpus"), ElementsAre(4, 0, 1, 2, 9));
  EXPECT_THAT(parse_cpu_list("7-7", "cpus"), ElementsAre(7));
  EXPECT_EQ(parse_cpu_list("0-65535", "cpus").size(), 65536U);
}

TEST(CpuList, IsWrittenInRuns) {
  EXPECT_EQ(cpu_list_text({}), "");
  EXPECT_EQ(cpu_list_text({3}), "3");
  EXPECT_EQ(cpu_list_text({0, 1, 2, 3, 8, 10, 11}), "0-3,8,10-11");
  EXPECT_EQ(cpu_list_text({4, 0, 1}), "4,0-1");
}

TEST(CpuList, IsRefusedInWords) {
  for (const char* text : {"", ",", "0,", ",0", "0,,1", "-1", "1-", "-", "3-1", "0 1", " 0", "0x1", "a", "0-1-2",
                           "65536", "99999999999", "1--2"}) {
    try {
      parse_cpu_list(text, "MOXIE_CPUS");
      ADD_FAILURE() << "'" << text << "' was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), MOX_INVALID_ARGUMENT);
      EXPECT_THAT(error.what(), HasSubstr("MOXIE_CPUS is '" + std::string(text) + "'"));
    }
  }
  for (const char* text : {"1,1", "0-4,3", "3,0-4"}) {
    try {
      parse_cpu_list(text, "cpus");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("twice"));
    }
  }
}

}  // namespace
}  // namespace moxie
