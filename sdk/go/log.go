package pointsman

import "github.com/pointsman/pointsman/sdk/go/internal/proxy"

// Lines in the proxy's log. Nothing is filtered here: that is up to the proxy's [log].

// LogTrace writes a line for whoever follows the code step by step.
func LogTrace(message string) { proxy.WriteLog(proxy.Trace, message) }

// LogDebug writes a line for whoever looks for a mistake.
func LogDebug(message string) { proxy.WriteLog(proxy.Debug, message) }

// LogInfo writes a line that is worth one in daily use.
func LogInfo(message string) { proxy.WriteLog(proxy.Info, message) }

// LogWarn writes a line about what is not right, and not yet harmful.
func LogWarn(message string) { proxy.WriteLog(proxy.Warn, message) }

// LogError writes a line about what is wrong.
func LogError(message string) { proxy.WriteLog(proxy.Error, message) }
