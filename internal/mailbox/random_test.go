package mailbox

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRandomSchedules runs random programs against a box, in fake time, and
// checks the promises: every accepted item is handled or dropped, once; the
// first is alone and the last is alone and last; a serial box keeps the order;
// no limit is exceeded; no goroutine is left.
func TestRandomSchedules(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() { // synctest.Test does not return then
					t.Logf("in round %d", round)
				}
			}()
			newSchedule(t, rand.New(rand.NewPCG(seed, uint64(round)))).run()
		})
	}
}

// step is an item and what its handler does with it. Steps are drawn before
// they are posted, so that a seed gives the same program again.
type step struct {
	producer, number      int // producer -1 is the first item, -2 the last
	before, after         time.Duration
	release, late, goexit bool
	control               bool
	pause                 time.Duration // of the producer, afterwards
}

type schedule struct {
	t         *testing.T
	config    Config
	programs  [][]step
	closeAt   time.Duration
	dropAt    []time.Duration
	box       *Box[*step]
	producers sync.WaitGroup

	mu        sync.Mutex
	accepted  map[*step]bool
	ended     map[*step]int // how often handled or dropped
	order     []*step       // in which handlers started
	running   int           // neither returned nor released
	released  int
	returning []time.Time // when released handlers ended
	kept      []Turn
}

func newSchedule(t *testing.T, r *rand.Rand) *schedule {
	s := &schedule{t: t, accepted: map[*step]bool{}, ended: map[*step]int{}}
	s.config = Config{Concurrency: 1 + r.IntN(4)*r.IntN(2), Released: 1 + r.IntN(4)}
	if r.IntN(2) == 0 {
		s.config.Capacity = 1 + r.IntN(10)
	}
	short := func() time.Duration { return time.Duration(r.IntN(4)) }
	for p := range 1 + r.IntN(4) {
		var program []step
		for n := range r.IntN(60) {
			program = append(program, step{
				producer: p, number: n,
				before: short(), after: short() * short(),
				release: r.IntN(4) == 0, late: r.IntN(4) == 0, goexit: r.IntN(8) == 0,
				control: r.IntN(8) == 0, pause: short(),
			})
		}
		s.programs = append(s.programs, program)
	}
	s.closeAt = time.Duration(r.IntN(200))
	for range r.IntN(3) {
		s.dropAt = append(s.dropAt, time.Duration(r.IntN(200)))
	}
	return s
}

func (s *schedule) run() {
	s.box = New(s.config, s.handle)
	first, last := &step{producer: -1, before: 5}, &step{producer: -2, before: 5}
	s.post(first)
	for _, program := range s.programs {
		s.producers.Go(func() {
			for i := range program {
				s.post(&program[i])
				time.Sleep(program[i].pause)
			}
		})
	}
	for _, at := range s.dropAt {
		s.producers.Go(func() {
			time.Sleep(at)
			s.box.Drop(func(i *step) { s.end(i) })
		})
	}
	s.producers.Go(func() {
		time.Sleep(s.closeAt)
		s.accept(last)
		if !s.box.Close(last) {
			s.t.Error("Close = false")
		}
	})
	s.producers.Wait()
	<-s.box.Done()
	s.check(last)
}

func (s *schedule) accept(i *step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted[i] = true
}

func (s *schedule) end(i *step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[i]++
}

func (s *schedule) post(i *step) {
	if i.control && s.box.PostControl(i) || !i.control && s.box.Post(i) == 1 {
		s.accept(i)
	}
}

func (s *schedule) handle(turn Turn, i *step) {
	s.mu.Lock()
	s.order = append(s.order, i)
	s.running++
	if s.running > s.config.Concurrency || i.producer == -2 && s.running+s.released > 1 {
		s.t.Errorf("%d running and %d released beside producer %d", s.running, s.released, i.producer)
	}
	if len(s.order) > 1 && s.ended[s.order[0]] == 0 && s.running > 1 {
		s.t.Error("two items at once before the first one had returned")
	}
	for _, old := range s.kept {
		if old.Release() || old.Released() {
			s.t.Error("a turn that was over could be released")
		}
	}
	s.mu.Unlock()

	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if turn.Released() {
			s.released--
			s.returning = append(s.returning, time.Now())
		} else {
			s.running--
		}
		s.ended[i]++
	}()
	time.Sleep(i.before)
	if i.release {
		s.release(turn)
	}
	time.Sleep(i.after)
	if i.late {
		time.AfterFunc(3, func() { s.keep(turn) }) // in time for the next items
	}
	if i.goexit {
		runtime.Goexit()
	}
}

// release counts under the lock, so that the next handler finds the counts right.
func (s *schedule) release(turn Turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if turn.Release() {
		s.running--
		s.released++
	} else if n := s.released + s.returningNow(); n < s.config.Released {
		s.t.Errorf("Release = false with %d of %d released", n, s.config.Released)
	}
	if s.released > s.config.Released {
		s.t.Errorf("%d released, want at most %d", s.released, s.config.Released)
	}
}

// returningNow returns how many released handlers the box may still count though
// they have ended here. Fake time goes on only when every goroutine waits, so
// those of an earlier instant have returned.
func (s *schedule) returningNow() int {
	now := time.Now()
	s.returning = slices.DeleteFunc(s.returning, now.After)
	return len(s.returning)
}

// keep remembers a turn whose handler has returned long ago.
func (s *schedule) keep(turn Turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, turn)
}

func (s *schedule) check(last *step) {
	if n := workers(); n != 0 {
		s.t.Errorf("%d goroutines after Done", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.accepted {
		if s.ended[i] != 1 {
			s.t.Errorf("item %d of producer %d: handled or dropped %d times", i.number, i.producer, s.ended[i])
		}
	}
	if len(s.ended) != len(s.accepted) {
		s.t.Errorf("%d items handled or dropped, %d accepted", len(s.ended), len(s.accepted))
	}
	if slices.Index(s.order, last) != len(s.order)-1 {
		s.t.Error("the last item was not the last one")
	}
	next := make([]int, len(s.programs))
	for _, i := range s.order {
		if i.producer < 0 || s.config.Concurrency > 1 {
			continue
		}
		if i.number < next[i.producer] {
			s.t.Errorf("producer %d: item %d after %d", i.producer, i.number, next[i.producer]-1)
		}
		next[i.producer] = i.number + 1
	}
}
