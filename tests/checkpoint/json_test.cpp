#include "checkpoint/json.h"

#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;

void refuse(const std::string& text, const std::vector<std::string>& parts) {
  expect_refusal(MOX_INVALID_FILE, parts, [&] { (void)parse_json(text, "folder/config.json"); });
}

TEST(Json, KeepsTheOrderOfKeys) {
  const Json value = parse_json(R"({"z": 1, "a": {"y": [1, 2.5, null, true, "x"]}})", "f");
  EXPECT_EQ(value.dump(), R"({"z":1,"a":{"y":[1,2.5,null,true,"x"]}})");
}

TEST(Json, RefusesDuplicateKeys) {
  refuse(R"({"a": 1, "b": 2, "a": 3})", {"folder/config.json", "duplicate key \"a\""});
  refuse(R"([{"b": {"c": 1, "c": 1}}])", {"duplicate key \"c\""});
  EXPECT_EQ(parse_json(R"({"a": {"a": {"a": 1}}})", "f").size(), 1U);
}

TEST(Json, RefusesMoreThan64Levels) {
  const auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_NO_THROW((void)parse_json(nested(64), "f"));
  refuse(nested(65), {"folder/config.json", "nested deeper than 64"});
  refuse(std::string(1000000, '['), {"nested deeper than 64"});
  refuse(std::string(100, '[').replace(0, 0, R"({"a":)"), {"nested deeper than 64"});
}

TEST(Json, RefusesTrailingText) {
  refuse("{} x", {"folder/config.json", "at byte 4"});
  refuse("{}{}", {"not JSON"});
  EXPECT_NO_THROW((void)parse_json("{} \n\t ", "f"));
}

TEST(Json, RefusesWhatIsNoJson) {
  refuse("", {"not JSON"});
  refuse("{'a': 1}", {"not JSON"});
  refuse("{\"a\": NaN}", {"not JSON"});
  refuse("{\"a\": 1e999}", {"not JSON"});
  refuse("{\"a\": 1,}", {"not JSON"});
  refuse("{\"a\": 1", {"not JSON"});
  refuse("{\"a\": /* 1 */ 2}", {"not JSON"});
}

TEST(Json, RefusesInvalidUtf8) {
  refuse("{\"a\": \"\xff\"}", {"folder/config.json"});
  refuse("{\"\xc0\xaf\": 1}", {"folder/config.json"});
  refuse("{\"a\": \"\xed\xa0\x80\"}", {"folder/config.json"});
}

TEST(Json, RefusesFilesOverTheLimit) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("config.json", std::string(100, ' ') + "{}");
  expect_refusal(MOX_INVALID_FILE, {path, "102 bytes", "at most 100"}, [&] { (void)read_json_object(path, 100); });
  EXPECT_NO_THROW((void)read_json_object(path, 102));
}

TEST(Json, NamesAMissingFile) {
  expect_refusal(MOX_NOT_FOUND, {"/nonexistent/config.json"},
                 [] { (void)read_json_object("/nonexistent/config.json"); });
}

TEST(Json, WantsAnObject) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("config.json", "[1]");
  expect_refusal(MOX_INVALID_FILE, {path, "[1]", "expected an object"}, [&] { (void)read_json_object(path); });
}

class FieldsTest : public testing::Test {
 protected:
  void refuse_field(const std::vector<std::string>& parts, const std::function<void()>& body) {
    expect_refusal(MOX_INVALID_FILE, parts, body);
  }
  const Json json_ = parse_json(
      R"({"text": "48", "count": 7, "real": 2.5, "whole": 3.0, "big": 18446744073709551615, "none": null, "yes": true,
          "list": [1], "inner": {"name": 5}})",
      "f");
  const Fields fields_{json_, "config.json"};
};

TEST_F(FieldsTest, ReadsTypes) {
  EXPECT_EQ(fields_.integer("count", 0, 9), 7);
  EXPECT_EQ(fields_.number("count"), 7.0);
  EXPECT_EQ(fields_.number("real"), 2.5);
  EXPECT_EQ(fields_.boolean("yes"), true);
  EXPECT_EQ(fields_.string("text"), "48");
  EXPECT_EQ(fields_.array("list")->size(), 1U);
  EXPECT_EQ(fields_.object("inner")->integer("name", 0, 9), 5);
}

TEST_F(FieldsTest, TakesNullForAbsent) {
  EXPECT_EQ(fields_.integer("none", 0, 9), std::nullopt);
  EXPECT_EQ(fields_.integer("absent", 0, 9), std::nullopt);
  EXPECT_TRUE(fields_.present("none"));
  EXPECT_FALSE(fields_.has("none"));
  EXPECT_FALSE(fields_.present("absent"));
  EXPECT_FALSE(fields_.object("none").has_value());
  EXPECT_EQ(fields_.array("absent"), nullptr);
}

TEST_F(FieldsTest, NamesFieldValueAndWhatWasExpected) {
  refuse_field({R"(config.json: text is "48"; expected an integer from 1 to 100)"},
               [&] { (void)fields_.integer("text", 1, 100); });
  refuse_field({"config.json: real is 2.5; expected an integer"}, [&] { (void)fields_.integer("real", 1, 100); });
  refuse_field({"whole is 3; expected an integer"}, [&] { (void)fields_.integer("whole", 1, 100); });
  refuse_field({"big is 18446744073709551615"}, [&] { (void)fields_.integer("big", 0, INT64_MAX); });
  refuse_field({"count is 7; expected an integer from 8 to 9"}, [&] { (void)fields_.integer("count", 8, 9); });
  refuse_field({"count is 7; expected an integer from 1 to 6"}, [&] { (void)fields_.integer("count", 1, 6); });
  refuse_field({"absent is missing; expected an integer"}, [&] { (void)fields_.require_integer("absent", 1, 6); });
  refuse_field({"none is null; expected a number"}, [&] { (void)fields_.require_number("none"); });
  refuse_field({"text is \"48\"; expected a finite number"}, [&] { (void)fields_.number("text"); });
  refuse_field({"real is 2.5; expected a number from 3 to 4"}, [&] { (void)fields_.number("real", 3, 4); });
  refuse_field({"count is 7; expected true or false"}, [&] { (void)fields_.boolean("count"); });
  refuse_field({"count is 7; expected a string"}, [&] { (void)fields_.string("count"); });
  refuse_field({"count is 7; expected an object"}, [&] { (void)fields_.object("count"); });
  refuse_field({"count is 7; expected an array"}, [&] { (void)fields_.array("count"); });
  refuse_field({"config.json: inner.name is 5; expected a string"},
               [&] { (void)fields_.object("inner")->string("name"); });
  refuse_field({"count is 7; expected a number above 0 and at most 6"}, [&] { (void)fields_.positive("count", 6); });
  refuse_field({"absent is missing"}, [&] { (void)fields_.require_positive("absent", 6); });
}

TEST(Show, CutsAndEscapes) {
  EXPECT_EQ(show(Json("a\nb")), "\"a\\x0ab\"");
  EXPECT_LT(show(Json(std::string(5000, 'x'))).size(), 300U);
  EXPECT_LT(show(Json(std::vector<int>(5000, 1))).size(), 300U);
}

}  // namespace
}  // namespace moxie::checkpoint
