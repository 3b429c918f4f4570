module github.com/pointsman/pointsman/sdk/go

go 1.24
