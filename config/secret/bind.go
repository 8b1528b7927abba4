package secret

import "reflect"

// Refs are the references in a configuration: in the fields of a struct that a pointer leads to, in structs and
// lists of structs among them. They can be changed.
func Refs(config any) (found []*Ref) {
	walk(reflect.ValueOf(config).Elem(), func(r *Ref) { found = append(found, r) })
	return found
}

// Bind lets the references to Vault in a configuration be read from there. Lists of the configuration are changed in
// place.
func Bind(config any, vault Source) {
	for _, r := range Refs(config) {
		if r.scheme == schemeVault {
			r.vault = vault
		}
	}
}

func walk(v reflect.Value, found func(*Ref)) {
	switch v.Kind() {
	case reflect.Struct:
		if r, ok := v.Addr().Interface().(*Ref); ok {
			if !r.IsZero() {
				found(r)
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), found)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), found)
		}
	}
}
