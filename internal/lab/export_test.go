package lab

import "time"

// DialMonitor connects to a QMP server, and returns what asks it and waits so long for an answer.
func DialMonitor(path string) (ask func(command string, within time.Duration) (answer string, err error), hangUp func() error, err error) {
	m, err := dialMonitor(path)
	if err != nil {
		return nil, nil, err
	}
	return func(command string, within time.Duration) (string, error) {
		m.within = within
		answer, err := m.call(command, nil)
		return string(answer), err
	}, m.Close, nil
}
