[ "$(./greet.sh)" = "Hello, stranger!" ]
