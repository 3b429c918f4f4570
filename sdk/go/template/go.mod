module my-plugin

go 1.24

require github.com/pointsman/pointsman/sdk/go v0.0.0

replace github.com/pointsman/pointsman/sdk/go => ./sdk
