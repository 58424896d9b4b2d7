/* MOXIE_HEADER alone, and once more: it needs nothing before it and bears being included twice. */
#include MOXIE_HEADER
#include MOXIE_HEADER

int moxie_header_c11(void);
int moxie_header_c11(void) { return 0; }
