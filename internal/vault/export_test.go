package vault

// DecodeCache is the decoder of the file of secrets, for its fuzz test.
func DecodeCache(b []byte) error {
	_, err := decodeCache(b)
	return err
}

// Renewal is when a certificate is renewed.
var Renewal = renewal
