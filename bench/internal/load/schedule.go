package load

import (
	"math/rand/v2"
	"time"
)

// operation is one of a schedule.
type operation struct {
	number int
	due    time.Duration // since the beginning
}

// schedule says which operation is the next. Those that are due are not kept anywhere, however many they are.
type schedule struct {
	first operation
	rate  float64
	gaps  *rand.Rand // of a Poisson process, or nil
	at    float64    // seconds since the beginning, of first
}

func newSchedule(c Config) *schedule {
	s := &schedule{rate: c.Rate}
	if c.Poisson {
		s.gaps = rand.New(rand.NewPCG(c.Seed, 0))
		s.at = s.gaps.ExpFloat64() / s.rate
		s.first.due = seconds(s.at)
	}
	return s
}

// peek returns the next operation.
func (s *schedule) peek() operation { return s.first }

// next goes on to the operation after it.
func (s *schedule) next() {
	s.first.number++
	if s.gaps != nil {
		s.at += s.gaps.ExpFloat64() / s.rate
	} else {
		// Not a sum of intervals, whose roundings would add up.
		s.at = float64(s.first.number) / s.rate
	}
	s.first.due = seconds(s.at)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
