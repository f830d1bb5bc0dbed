module rotator.test/envfiles

go 1.24.9

require (
	github.com/compose-spec/compose-go/v2 v2.9.1
	github.com/docker/cli v28.5.1+incompatible
)

require (
	github.com/sirupsen/logrus v1.9.0 // indirect
	golang.org/x/sys v0.5.0 // indirect
)
