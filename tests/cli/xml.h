// Whether a text is well-formed XML, as far as SVG files of ours use XML.
#pragma once

#include <string>

namespace moxie::test {

// "" where it is; else what is wrong. Knows elements, attributes, text, the five entities and the declaration; anything
// else (comments, CDATA, doctypes) is a complaint.
std::string xml_complaint(const std::string& text);

}  // namespace moxie::test
