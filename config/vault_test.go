package config_test

import (
	"strings"
	"testing"
)

func TestVault_Errors(t *testing.T) {
	t.Parallel()
	const vault = "[vault]\naddress = \"https://vault:8200\"\n"
	for text, want := range map[string]string{
		vault + "role_id = \"r\"\nsecret_id = \"env:S\"":                                                  "",
		vault + "login = \"token\"\ntoken = \"file:/t\"":                                                  "",
		vault + "login = \"kubernetes\"\nrole = \"glia\"":                                                 "",
		"serf.encrypt_key = \"vault:kv/data/glia#serf\"":                                                  "vault.address: is missing, and vault:kv/data/glia#serf is to be read there",
		"tls.vault = \"pki/issue/glia\"":                                                                  "tls.vault: needs vault.address",
		"[vault]\naddress = \"http://vault:8200\"":                                                        "vault.address: vault:8200 would be told our secret without TLS",
		"[vault]\naddress = \"https://u:hunter2@vault\"":                                                  "vault.address: is no address without credentials",
		vault + "login = \"userpass\"":                                                                    `vault.login: "userpass" is not one of "token", "approle" or "kubernetes"`,
		vault:                                                                                             "vault.role_id: is missing",
		vault + "role_id = \"r\"":                                                                         "vault.secret_id: is missing",
		vault + "role_id = \"r\"\nsecret_id = \"vault:kv/data/a#b\"":                                      "vault.secret_id: is what Vault is entered with",
		vault + "login = \"token\"":                                                                       "vault.token: is missing",
		vault + "login = \"token\"\ntoken = \"hvs.hunter2\"":                                              "vault.token: is no reference to a secret",
		vault + "login = \"kubernetes\"":                                                                  "vault.role: is missing",
		vault + "login = \"token\"\ntoken = \"/t\"\nrefresh = \"1ms\"":                                    "vault.refresh: 1ms is not possible",
		vault + "login = \"token\"\ntoken = \"/t\"\nkeep = \"1m\"":                                        "vault.keep: 1m is not possible",
		vault + "login = \"token\"\ntoken = \"/t\"\nttl = \"1m\"":                                         "vault.ttl: 1m is not possible",
		vault + "login = \"token\"\ntoken = \"/t\"\ndir = \"d\"":                                          `vault.dir: "d" is not an absolute path`,
		vault + "login = \"token\"\ntoken = \"/t\"\nmount = \"/m\"":                                       `vault.mount: "/m" has a slash around it`,
		vault + "login = \"token\"\ntoken = \"/t\"\nnames = [\"a b\"]":                                    `vault.names: "a b" can not be a name`,
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"pki/sign/x\"":                        `tls.vault: "pki/sign/x" is no path of a role`,
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"kv/data/glia\"":                      "",
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"kv/glia/data\"":                      `tls.vault: "kv/glia/data" is no path of a role of the PKI engine, such as "pki/issue/glia", and no folder`,
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"kv/data/../glia\"":                   `tls.vault: "kv/data/../glia" is no path`,
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"pki/issue/x\"\ncert = \"/c\"":        "tls.vault: is instead of tls.cert and tls.key",
		vault + "login = \"token\"\ntoken = \"/t\"\n[tls]\nvault = \"pki/issue/x\"\n[api]\nlisten=\":1\"": "api.advertise",
	} {
		for _, program := range []string{"nerve", "synapse"} {
			got := strings.Join(lines(program, text), "\n")
			if want == "" && got != "" || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
				t.Errorf("%s %q:\n got %q\nwant %q", program, text, got, want)
			}
		}
	}
}
