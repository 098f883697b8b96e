package endpoint

// IsAtLeastVersion0_1_0 is used by generated code: if it does not compile, the generated code is newer than the version
// of github.com/parley-rpc/parley in go.mod.
const IsAtLeastVersion0_1_0 = true
