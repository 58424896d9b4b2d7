// MOXIE_HEADER alone, and once more: it needs nothing before it and bears being included twice.
#include MOXIE_HEADER
#include MOXIE_HEADER

int moxie_header_cxx17();
int moxie_header_cxx17() { return 0; }
