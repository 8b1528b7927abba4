package config

// Decode reads a TOML document that is not the configuration of a program, as strictly as those are read:
// into is a pointer to a struct whose fields have toml tags; a pointer among them stays nil when its key is
// not set. What validate then finds is placed at the key that it names, such as rule[3].above. The name
// stands for the file in errors, which are *Errors.
func Decode(name string, data []byte, into any, validate func(bad func(key, format string, args ...any))) error {
	f := file{name, data}
	c := newCheck([]file{f})
	decode(into, c, 0, f)
	if !c.unreadable {
		validate(func(key, format string, args ...any) { c.bad([]string{key}, format, args...) })
	}
	return c.err()
}

// DecodeFile is Decode for a file, which must not be larger than 1 MiB.
func DecodeFile(path string, into any, validate func(bad func(key, format string, args ...any))) error {
	data, err := readFile(path)
	if err != nil {
		return &Errors{[]Problem{{File: path, Message: cause(err)}}}
	}
	return Decode(path, data, into, validate)
}
