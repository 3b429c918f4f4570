import { Decision, definePlugin } from "pointsman-sdk";

export const plugin = definePlugin({
  config: {},
  cacheable: true,

  configure() {
    return undefined;
  },

  route(request) {
    switch (request.path) {
      case "/print":
        console.log("printed");
        return Decision.respond(200);
      case "/clock":
        return Decision.respond(200, { body: String(Math.trunc(Date.now() / 1000)) });
      case "/random":
        return Decision.respond(200, { body: String(Math.random()) });
      default:
        return Decision.respond(200);
    }
  },
});
