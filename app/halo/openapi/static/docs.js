"use strict";
const dark = matchMedia("(prefers-color-scheme: dark)");
const followSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followSystem);
followSystem();
// Swagger UI sends client credentials as HTTP Basic only; POST /auth/token reads them as fields.
const credentialsAsFields = (request) => {
  const [, basic] = (request.headers?.Authorization ?? "").split("Basic ");
  if (basic === undefined) return request;
  const [client_id, client_secret] = atob(basic).split(":");
  delete request.headers.Authorization;
  return { ...request, body: `${request.body}&${new URLSearchParams({ client_id, client_secret })}` };
};
SwaggerUIBundle({ dom_id: "#api", url: "openapi.json", validatorUrl: null, deepLinking: true,
  filter: true, docExpansion: "list", defaultModelsExpandDepth: 0, requestInterceptor: credentialsAsFields });
