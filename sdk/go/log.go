package pointsman

import "github.com/pointsman/pointsman/sdk/go/internal/proxy"

// The plugin's lines in the proxy's log. The table [log] of the proxy's configuration filters them.

// LogTrace writes a line about a single step of the code.
func LogTrace(message string) { proxy.WriteLog(proxy.Trace, message) }

// LogDebug writes a line with details that help to find a mistake.
func LogDebug(message string) { proxy.WriteLog(proxy.Debug, message) }

// LogInfo writes a line that is worth reading in normal operation.
func LogInfo(message string) { proxy.WriteLog(proxy.Info, message) }

// LogWarn writes a line about something unexpected that was handled.
func LogWarn(message string) { proxy.WriteLog(proxy.Warn, message) }

// LogError writes a line about a failure.
func LogError(message string) { proxy.WriteLog(proxy.Error, message) }
