// A libmoxie of another time: it knows its version, and little else.
const char* mox_version(void);
const char* mox_version(void) { return "0.0.9"; }
