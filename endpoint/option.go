package endpoint

// Option is an option of a registration.
type Option interface{ apply(*Settings) }

// Settings are the options of a registration, applied.
type Settings struct {
	// Concurrency is how many messages are handled at a time. 1 unless Concurrent is given.
	Concurrency int
	// Released is how many handlers may go on after Release. 1,024 unless MaxReleased is given.
	Released int
}

// ApplyOptions returns the settings that opts make.
func ApplyOptions(opts ...Option) Settings {
	s := Settings{Concurrency: 1, Released: 1024}
	for _, o := range opts {
		o.apply(&s)
	}
	return s
}

type optionFunc func(*Settings)

func (f optionFunc) apply(s *Settings) { f(s) }

// Concurrent lets n messages be handled at a time. They are started in order. The default, and the meaning of n < 1, is 1:
// serial, each message after the handler of the one before has returned or called Release.
func Concurrent(n int) Option {
	return optionFunc(func(s *Settings) { s.Concurrency = max(n, 1) })
}

// MaxReleased limits the handlers that go on after Release to n. The default is 1,024.
func MaxReleased(n int) Option {
	return optionFunc(func(s *Settings) { s.Released = max(n, 1) })
}
