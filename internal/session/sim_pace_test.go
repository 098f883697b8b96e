package session

// someAhead returns how many bytes of chunks a session may have unacknowledged at least: so few that they have to wait, or what it is outside.
func (s *sim) someAhead() int {
	if s.r.IntN(2) == 0 {
		return leastAhead
	}
	return 1 + s.r.IntN(4*MostWhole)
}

// paced checks, after a frame was made, that its chunk was one that might be written. before is what the session knew then.
func (s *sim) paced(e *end, before pace) {
	p, r := &e.out.pace, &e.out.replay
	ahead := 0
	for i := range r.kept {
		if r.kept[i].chunk {
			ahead += r.kept[i].body
		}
	}
	switch {
	case !r.on && *p != before:
		s.failf("%s counts chunks that nobody acknowledges", e)
	case p.ahead != ahead:
		s.failf("%s counts %d bytes of chunks as unacknowledged, where %d are", e, p.ahead, ahead)
	case p.ahead > before.ahead && before.ahead >= before.window:
		s.failf("%s has written a chunk, with %d bytes of %d ahead of it", e, before.ahead, before.window)
	case p.window < p.least || uint64(p.window) > max(firstTimes*uint64(p.least), e.own.ReplayBytes):
		s.failf("%s lets %d bytes of chunks be unacknowledged, where %d are the least and %d are kept", e, p.window, p.least, e.own.ReplayBytes)
	case p.held && !before.held:
		s.held++
	case p.window > firstTimes*p.least:
		s.widened++
	}
}
