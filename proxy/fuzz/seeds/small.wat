;; The least plugin that reads a field, looks at a backend, logs, and decides: a few hundred
;; bytes of code where a compiler's runtime would be a hundred thousand. Made a component by
;;   wasm-tools component embed wit --world router small.wat -o small.core.wasm
;;   wasm-tools component new small.core.wasm -o component/small.wasm
(module
  (import "pointsman:router/request@0.1.0" "[method]request-head.header"
    (func $header (param i32 i32 i32 i32)))
  (import "pointsman:router/request@0.1.0" "[method]request-head.set-header"
    (func $set-header (param i32 i32 i32 i32 i32 i32)))
  (import "pointsman:router/request@0.1.0" "[resource-drop]request-head"
    (func $drop (param i32)))
  (import "pointsman:router/backends@0.1.0" "state"
    (func $state (param i32 i32 i32)))
  (import "pointsman:router/log@0.1.0" "write"
    (func $write (param i32 i32 i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 4096))
  (data (i32.const 16) "host")
  (data (i32.const 32) "www")
  (func $align (param $at i32) (param $to i32) (result i32)
    (i32.and
      (i32.add (local.get $at) (i32.sub (local.get $to) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $to))))
  (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $to i32) (param $new i32)
    (result i32)
    (local $at i32)
    (local.set $at (call $align (global.get $top) (local.get $to)))
    (global.set $top (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $top) (i32.const 65536)) (then unreachable))
    (memory.copy (local.get $at) (local.get $old) (local.get $size))
    (local.get $at))
  ;; configure: func(config: string) -> result<cacheability, string>
  (func (export "pointsman:router/plugin@0.1.0#configure") (param i32 i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store8 (i32.const 68) (i32.const 0))
    (i32.const 64))
  (func (export "cabi_post_pointsman:router/plugin@0.1.0#configure") (param i32))
  ;; route: func(request: request-head) -> result<decision, string>
  (func (export "pointsman:router/plugin@0.1.0#route") (param $request i32) (result i32)
    (global.set $top (i32.const 4096))
    (call $header (local.get $request) (i32.const 16) (i32.const 4) (i32.const 128))
    (call $set-header (local.get $request) (i32.const 32) (i32.const 3)
      (i32.const 16) (i32.const 4) (i32.const 144))
    (call $state (i32.const 32) (i32.const 3) (i32.const 160))
    (call $write (i32.const 2) (i32.const 16) (i32.const 4))
    (call $drop (local.get $request))
    (i32.store8 (i32.const 200) (i32.const 0))
    ;; Without a Host the default decides, else `www`.
    (i32.store8 (i32.const 204) (i32.eqz (i32.load (i32.const 132))))
    (i32.store (i32.const 208) (i32.const 32))
    (i32.store (i32.const 212) (i32.const 3))
    (i32.const 200))
  (func (export "cabi_post_pointsman:router/plugin@0.1.0#route") (param i32)))
