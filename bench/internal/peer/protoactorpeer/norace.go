//go:build !race

package protoactorpeer

// Races says that the program has the race detector, which ends a program that opens protoactor's systems: a remote sets gRPC's logger whenever it
// starts, and fields of itself that are read meanwhile when it stops.
const Races = false
