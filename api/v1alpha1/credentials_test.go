package v1alpha1_test

import (
	. "github.com/onsi/ginkgo/v2"
)

var credentialsRules = []rule{
	accepted("a Secret's name of 253 characters", "spec.credentials.secretRef.name", long(253)),
	refused("a Secret's name of 254 characters", "spec.credentials.secretRef.name", long(254), "may not be more than 253"),
	refused("no Secret's name", "spec.credentials.secretRef.name", nil, "Required value"),
	refused("an empty Secret's name", "spec.credentials.secretRef.name", "", "at least 1 chars"),
	{
		story:  "the Secret with the session's state",
		fields: []field{{"spec.credentials.secretRef.name", "billing-session"}},
		advice: "credentials.secretRef.name must differ from <name>-session, where the operator keeps its state",
	},
	accepted("the Secret with another session's name", "spec.credentials.secretRef.name", "orders-session"),

	accepted("a user name under another key", "spec.credentials.usernameKey", "user.name_1-x"),
	refused("a user name under a key that no Secret can have", "spec.credentials.usernameKey", "user name", "a key consists of letters, digits, -, _ and ."),
	refused("a user name under a key of 254 characters", "spec.credentials.usernameKey", long(254), "may not be more than 253"),
	refused("a user name under an empty key", "spec.credentials.usernameKey", "", "at least 1 chars"),
	accepted("a password under a key that begins with a dot", "spec.credentials.passwordKey", ".password"),
	refused("a password under a key that is a dot", "spec.credentials.passwordKey", ".", "a key consists of letters"),
	refused("a password under a key that begins with two dots", "spec.credentials.passwordKey", "..password", "does not begin with two dots"),
	refused("a password under a key of 254 characters", "spec.credentials.passwordKey", long(254), "may not be more than 253"),
	refused("a password under an empty key", "spec.credentials.passwordKey", "", "at least 1 chars"),

	accepted("an OTP seed", "spec.credentials.otpSeedKey", "otp.seed_1-x"),
	accepted("an OTP seed under a key of 253 characters", "spec.credentials.otpSeedKey", long(253)),
	refused("an OTP seed under a key that no Secret can have", "spec.credentials.otpSeedKey", "otp seed", "a key consists of letters"),
	refused("an OTP seed under a key that begins with two dots", "spec.credentials.otpSeedKey", "..otp", "does not begin with two dots"),
	refused("an OTP seed under a key of 254 characters", "spec.credentials.otpSeedKey", long(254), "may not be more than 253"),
	refused("an OTP seed under an empty key", "spec.credentials.otpSeedKey", "", "at least 1 chars"),

	accepted("a domain", "spec.credentials.domain", "CORP"),
	accepted("a domain of 253 characters", "spec.credentials.domain", long(253)),
	refused("a domain of 254 characters", "spec.credentials.domain", long(254), "may not be more than 253"),
	refused("an empty domain", "spec.credentials.domain", "", "at least 1 chars"),
}

var _ = Describe("The credentials", func() { tell(credentialsRules) })
