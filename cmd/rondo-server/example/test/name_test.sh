[ "$(./greet.sh Ada)" = "Hello, Ada!" ]
