// moxie routes against the usage the reference implementations counted, and its pictures.
#include <gmock/gmock.h>

#include "program.h"
#include "reference_figures.h"
#include "xml.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kTolerance = 0.005;

nlohmann::json routes(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "routes");
  arguments.emplace_back("--json");
  const auto finished = run_program(arguments);
  EXPECT_EQ(finished.status, 0) << finished.errors;
  return finished.json();
}

void expect_usage(const std::string& who, const std::vector<std::string>& arguments) {
  for (const auto& text : heldout_texts()) {
    auto with_text = arguments;
    with_text.insert(with_text.end(), {"--windows", bundled("heldout/" + text + ".safetensors")});
    const auto json = routes(with_text);
    const auto& expected = reference_figures().at(who)["expert_usage"].at(text);
    ASSERT_EQ(json["routers"].size(), expected.size());
    for (size_t layer = 0; layer < expected.size(); ++layer) {
      const auto& router = json["routers"][layer];
      EXPECT_EQ(router["layer"], layer);
      EXPECT_EQ(router["router"], "mlp");
      ASSERT_EQ(router["share"].size(), expected[layer].size());
      for (size_t expert = 0; expert < expected[layer].size(); ++expert) {
        EXPECT_NEAR(router["share"][expert].get<double>(), expected[layer][expert].get<double>(), kTolerance)
            << who << " on " << text << ", layer " << layer << ", expert " << expert;
      }
    }
  }
}

TEST(Routes, MixtralUsesItsExpertsAsTheReference) {
  expect_usage("tiny-mixtral", {"--model", bundled("tiny-mixtral")});
}

TEST(Routes, MixloraUsesItsExpertsAsTheReference) {
  for (const std::string adapter : {"kjv-mixlora", "kjv-mixlora-dynamic"}) {
    expect_usage(adapter, {"--model", bundled("tiny-llama"), "--adapter", "kjv=" + bundled(adapter)});
  }
}

std::vector<std::string> first_window(const std::string& adapter) {
  return {"--model",   bundled("tiny-llama"),
          "--adapter", "it=" + bundled(adapter),
          "--limit",   "1",
          "--windows", bundled("heldout/kjv.safetensors")};
}

TEST(Routes, AdaptersThatRouteEachLinearHaveARowForEach) {
  const auto mola = routes(first_window("presidents-mola"));
  ASSERT_EQ(mola["routers"].size(), 6u * 7);
  const std::vector<std::string> linears{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  for (size_t i = 0; i < linears.size(); ++i) {
    double sum = 0;
    for (const auto& share : mola["routers"][i]["share"]) sum += share.get<double>();
    EXPECT_NEAR(sum, 2, 1e-12) << "two experts serve each token";
    EXPECT_THAT(linears, testing::Contains(mola["routers"][i]["router"].get<std::string>()));
  }
  const auto loramoe = routes(first_window("melville-loramoe"));
  ASSERT_EQ(loramoe["routers"].size(), 6u * 3);
  for (const auto& router : loramoe["routers"]) {
    double sum = 0;
    for (const auto& weight : router["mean_weight"]) sum += weight.get<double>();
    EXPECT_NEAR(sum, 1, 1e-5);
    for (const auto& share : router["share"]) EXPECT_EQ(share, 1) << "every expert serves every token";
  }
}

TEST(Routes, WhatDoesNotRouteIsRefused) {
  for (const std::string adapter : {"", "jargon-lora"}) {
    std::vector<std::string> arguments{
        "routes", "--model", bundled("tiny-llama"), "--limit", "1", "--windows", bundled("heldout/kjv.safetensors")};
    if (!adapter.empty()) arguments.insert(arguments.end(), {"--adapter", "it=" + bundled(adapter)});
    const auto finished = run_program(arguments);
    EXPECT_EQ(finished.status, 1);
    EXPECT_THAT(finished.errors, HasSubstr("experts"));
  }
}

TEST(Routes, TableHasNoColoursOffATerminal) {
  auto arguments = first_window("kjv-mixlora");
  arguments.insert(arguments.begin(), "routes");
  const auto finished = run_program(arguments);
  EXPECT_EQ(finished.status, 0) << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("share of tokens, %"));
  EXPECT_THAT(finished.output, Not(HasSubstr("\033")));
}

TEST(Routes, SvgIsWellFormedAndLabelled) {
  const TemporaryFolder folder;
  for (const std::string adapter : {"kjv-mixlora", "presidents-mola", "melville-loramoe"}) {
    auto arguments = first_window(adapter);
    const auto file = (folder / "map.svg").string();
    arguments.insert(arguments.end(), {"--svg", file});
    arguments[3] = "<a & \"b\">=" + bundled(adapter);
    const auto json = routes(arguments);
    const auto svg = read_file(file);
    EXPECT_EQ(xml_complaint(svg), "") << adapter;
    EXPECT_THAT(svg, HasSubstr("&lt;a &amp; &quot;b&quot;&gt;"));
    EXPECT_THAT(svg, HasSubstr(">expert</text>"));
    EXPECT_THAT(svg, HasSubstr(adapter == "kjv-mixlora" ? ">layer</text>" : ">layer and linear</text>"));
    EXPECT_THAT(svg, HasSubstr(adapter == "melville-loramoe" ? "mean weight, %" : "share of tokens, %"));
    size_t cells = 0;
    for (const auto& router : json["routers"]) cells += router["share"].size();
    size_t texts = 0;
    for (size_t at = svg.find("<text "); at != std::string::npos; at = svg.find("<text ", at + 1)) ++texts;
    EXPECT_GE(texts, cells + json["routers"].size());
  }
}

TEST(Routes, ASvgThatCannotBeWrittenIsAFailure) {
  auto arguments = first_window("kjv-mixlora");
  arguments.insert(arguments.begin(), "routes");
  arguments.insert(arguments.end(), {"--svg", "/no/such/folder/map.svg"});
  const auto finished = run_program(arguments);
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("/no/such/folder/map.svg"));
}

TEST(XmlComplaint, FindsWhatIsWrong) {
  EXPECT_EQ(xml_complaint("<?xml version=\"1.0\"?>\n<a b=\"1\"><c/>&amp;</a>\n"), "");
  for (const char* broken :
       {"<a>", "<a></b>", "<a b=1/>", "<a b=\"1\" b=\"2\"/>", "<a>&</a>", "<a/><b/>", "x<a/>", "<a"}) {
    EXPECT_NE(xml_complaint(broken), "") << broken;
  }
}

}  // namespace
}  // namespace moxie::test
