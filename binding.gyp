{
  "targets": [
    {
      "target_name": "vm_entrypoint",
      "sources": [ "<!@(node -p \"require('fs').readdirSync('native',{recursive:true}).filter(f=>f.endsWith('.cc')).sort().map(f=>'native/'+f).join(' ')\")" ],
      "include_dirs": [ "native", "<!(node -p \"require('node-addon-api').include_dir\")" ],
      "defines": [
        "NAPI_VERSION=9",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
        "_FORTIFY_SOURCE=2"
      ],
      "cflags": [ "-fvisibility=hidden", "-fstack-protector-strong", "-Wall", "-Wextra", "-Wno-cast-function-type" ],
      "cflags_cc!": [ "-std=gnu++17", "-std=gnu++20" ],
      "cflags_cc": [ "-std=c++20", "-fno-exceptions", "-fno-rtti", "-fno-plt" ],
      "ldflags": [
        "-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL", "-Wl,-z,relro,-z,now",
        "-Wl,-z,nodelete"
      ],
      "libraries": [ "-ldl" ]
    }
  ]
}
