/* A libmoxie of another version, as a binding might find it. */
__attribute__((visibility("default"))) const char* mox_version(void);
const char* mox_version(void) { return "99.1.0"; }
